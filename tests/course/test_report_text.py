"""What a report says: its directions, numbers and unknowns follow from what it was given."""

import json
import re
import shlex
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dmlteach import cli, models
from dmlteach.course.reports import commands, pictures, subject, text
from dmlteach.data import ImageDataset
from dmlteach.errors import DMLTeachError
from dmlteach.evaluation import evaluate
from dmlteach.metrics import first_match_ranks, nmi, pair_distances, recall_at_k, retrieval_metrics
from dmlteach.metrics.query_statistics import mean_interval
from dmlteach.plots.style import Picture
from dmlteach.train import TrainConfig, fit

DRAWINGS = torch.randint(0, 255, (200, 1, 28, 28), generator=torch.Generator().manual_seed(0)).byte()


class Source:
    """Made-up drawings."""

    channels, fingerprint = 1, "made up"

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def read(self, rows, change=None):
        images = DRAWINGS[self.rows[rows]]
        return [change(images) if change else images]

    def sizes(self, rows):
        return torch.full((len(rows), 2), 28)

    def take(self, rows):
        return Source(self.rows[rows])


def images_of(labels, name="made_up", shareable=True, split="test"):
    labels = torch.as_tensor(labels)
    names = [f"c{i}" for i in range(int(labels.max()) + 1)]
    return ImageDataset(name, split, Source(torch.arange(len(labels))), labels, names, shareable=shareable)


def measured(embeddings, labels):
    """A network's result from its embeddings alone."""
    one = object.__new__(subject.Measured)
    one.queries = one.gallery = torch.as_tensor(embeddings).float()
    one.labels, one.ks = torch.as_tensor(labels), (1, 2)
    one.scores = retrieval_metrics(one.queries, one.labels, (1, 2))
    one.places = first_match_ranks(one.queries, one.labels)
    return one


LABELS = torch.arange(30).repeat_interleave(4)
TEST = subject.TestSet(images_of(LABELS), None)
NOISE = torch.randn(120, 6, generator=torch.Generator().manual_seed(1))
GOOD = measured(torch.eye(30)[LABELS] * 3 + torch.cat([NOISE] * 5, 1) * 0.5, LABELS)
POOR = measured(torch.eye(30)[LABELS] + torch.cat([NOISE] * 5, 1) * 0.6, LABELS)


@pytest.fixture(scope="module")
def shipped():
    return subject.open_subject("sst")


def test_shipped_network_comes_with_its_recipe_and_with_what_its_card_knows_of_the_training(shipped):
    said = text.provenance(shipped, TEST, {"device": "cpu", "root": None, "checkpoint": "sst"}).markdown
    rows = dict(re.findall(r"^\| (.*?) \| (.*) \|$", said, re.MULTILINE))
    assert rows["steps"] == "1,200" and rows["whole epochs"] == "12" and rows["seed"] == "0"
    card = models.card("sst")
    assert rows["training ended"] == card["ended"] and rows["training: date"] == card["made_with"]["date"]
    assert rows["training time"] == f"{card['train_seconds'] / 60:.0f} min"
    assert rows["this report: versions"].count(" ") == 5 and rows["this report: date"][:2] == "20"
    assert rows["test"] == "120 images of 30 classes"
    assert rows["to repeat this report"].endswith("--checkpoint sst`")


@pytest.mark.parametrize(
    ("this", "other", "word", "apart"), [(GOOD, POOR, "above", True), (POOR, GOOD, "below", True)]
)
def test_direction_and_distance_of_two_networks_are_computed(this, other, word, apart):
    said = text.compare(this, subject.Row("the other", other))
    difference = 100 * (this.scores["recall@1"] - other.scores["recall@1"])
    assert f"{abs(difference):.1f} points {word} that of the other" in said
    assert ("does not tell the two apart" in said) != apart


def test_network_beside_itself_is_equal_and_one_of_a_few_queries_is_not_told_apart():
    assert "equal to that of the other" in text.compare(GOOD, subject.Row("the other", GOOD))
    assert "interval" not in text.compare(GOOD, subject.Row("the other", GOOD))
    z = GOOD.queries.clone()
    z[0], z[60] = GOOD.queries[60], GOOD.queries[0]
    nearly = measured(z, LABELS)
    assert nearly.scores["recall@1"] < GOOD.scores["recall@1"]
    assert "which holds 0: this test set does not tell the two apart" in text.compare(
        nearly, subject.Row("the other", GOOD)
    )


@pytest.mark.parametrize(
    ("share", "said"), [(0.0004, "less than 0.1 points below"), (-0.0004, "less than 0.1 points above")]
)
def test_small_difference_is_not_called_none(share, said):
    other = {"recall@1": GOOD.scores["recall@1"] + share}
    assert f"{said} that of the other" in text.compare(GOOD, subject.Row("the other", other))


def test_numbers_that_a_run_recorded_are_compared_without_an_interval():
    said = text.compare(GOOD, subject.Row("the untrained network", {"recall@1": 0.25}))
    assert f"{100 * (GOOD.scores['recall@1'] - 0.25):.1f} points above" in said and "interval" not in said


def test_interval_of_the_title_is_that_over_classes(shipped):
    title = text.title(shipped, TEST, POOR).markdown
    low, high = mean_interval(POOR.places == 1, LABELS)
    assert f"Recall@1 {100 * POOR.scores['recall@1']:.1f} %" in title
    assert f"(95 % interval {100 * low:.1f}–{100 * high:.1f} %)" in title.splitlines()[0]
    assert "Each of the 120 test images of 30 classes" in title and "trained on another data set" in title


def test_where_all_classes_are_alike_there_is_no_interval(shipped):
    perfect = measured(torch.eye(30)[LABELS], LABELS)
    assert "Recall@1 100.0 %\n" in text.title(shipped, TEST, perfect).markdown
    assert "There is no interval" in text.interval_sentence(perfect, TEST)


def test_few_classes_are_said_to_give_a_rough_interval():
    few = subject.TestSet(images_of([0, 0, 1, 1, 2, 2]), None)
    said = text.interval_sentence(measured([[0.0], [1], [1.1], [5], [9], [9.1]], few.queries.labels), few)
    assert "Of only 3 classes it is rough" in said
    assert "rough" not in text.interval_sentence(POOR, TEST)


@pytest.mark.parametrize("gallery", [None, [0, 1, 1, 1, 2]])
def test_chance_is_the_mean_share_of_right_images_over_queries_that_have_one(gallery):
    labels = [0, 0, 0, 1, 1, 2]
    test = subject.TestSet(images_of(labels), None if gallery is None else images_of(gallery))
    searched = labels if gallery is None else gallery
    own = gallery is None
    shares = [(searched.count(c) - own) / (len(searched) - own) for c in labels if searched.count(c) > own]
    assert text.chance(test) == pytest.approx(np.mean(shares))


def test_table_names_what_was_not_measured_and_the_test_set_of_every_row():
    rows = [subject.Row("sst", GOOD), subject.Row("a classifier", None, "name one")]
    table = text.result_table(rows, TEST).markdown
    assert "| a classifier, name one | not measured |" in table
    assert "120 test images of 30 classes" in table and "Every number is of this test set" in table


# ── what is known of a run ───────────────────────────────────────────────────────────────────────────

CONFIG = {"method": "triplet", "dataset": "omniglot", "seed": 3, "loss": None, "sampler": "random"}


def run_folder(folder, metrics, **config):
    """A run folder with the shipped network's weights."""
    models.save(models.pretrained("untrained"), folder / "model.safetensors")
    recipe = {"paper": "a paper", "loss": "triplet", "train_options": {}}
    (folder / "config.json").write_text(json.dumps({"config": CONFIG | config, "recipe": recipe}))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return subject.open_subject(folder)


def test_curve_of_a_shipped_network_begins_with_the_untrained_one(shipped):
    said, figure = pictures.curve(shipped, (None, ""))
    recall = figure.axes[1].lines
    assert recall[0].get_xdata()[0] == 0 and recall[0].get_ydata()[0] == recall[1].get_ydata()[0]
    assert "500 of the test drawings only, of 25 classes" in said.markdown


def test_run_made_before_whole_epochs_were_counted_says_not_known(tmp_path):
    old = run_folder(
        tmp_path, {"epochs": [{"steps": 7}, {"steps": 1}], "final": {"epochs": 2, "train_seconds": 130}}
    )
    assert old.name == "triplet with sampler random"
    said = text.training_sentence(old).markdown
    assert said == "Trained for 8 steps, 2 min of training time."
    assert old.made_with == {}
    whole = text.provenance(old, TEST, {"device": "cpu", "root": None}).markdown
    assert "| whole epochs | not known |" in whole


@pytest.mark.parametrize("eval_every", [0, 2])
def test_images_and_classes_of_each_split_are_those_that_were_loaded(tmp_path, eval_every):
    run = run_folder(tmp_path, {}, eval_every=eval_every, classes=40, dataset_options={"val_fraction": 0.1})
    test = subject.test_set("omniglot", None, run)
    rows = text.splits(run, test, None)
    assert rows.pop("test") == "800 images of 40 classes"
    assert rows == {"trained on": "800 images of 40 classes"} | (
        {"validation": "800 images of 40 classes"} if eval_every else {}
    )


def test_run_says_why_it_ended_and_after_how_many_steps(tmp_path):
    final = {
        "epochs": 1,
        "steps": 8,
        "train_seconds": 59.6,
        "ended": "the time limit of 1 minute was reached.",
    }
    new = run_folder(tmp_path, {"epochs": [], "final": final})
    assert text.training_sentence(new).markdown == (
        "Trained for 8 steps, 1 whole epoch, 60 s of training time. The time limit of 1 minute was reached."
    )


UNTRAINED = {"recall@1": 0.3, "r_precision": 0.2, "map@r": 0.1, "num_queries": 120, "num_left_out": 0}
NOT_RECORDED = "its run has not recorded it on these images"


@pytest.mark.parametrize(
    ("recorded", "note", "known"),
    [
        (UNTRAINED | {"num_classes": 30}, "before the first step", True),
        (UNTRAINED | {"num_classes": 29}, NOT_RECORDED, False),
        (UNTRAINED | {"num_classes": 30, "num_queries": 50}, NOT_RECORDED, False),
        ({"recall@2": 0.4, "num_queries": 120, "num_left_out": 0, "num_classes": 30}, NOT_RECORDED, False),
        (None, NOT_RECORDED, False),
    ],
)
def test_untrained_number_counts_only_where_it_is_of_the_same_test_set(tmp_path, recorded, note, known):
    metrics = {"untrained": recorded} if recorded else {"epochs": []}
    run = run_folder(tmp_path, metrics, dataset="made_up", dataset_options={})
    _, row, classifier = subject.rows_of(run, GOOD, TEST, None, "cpu")
    assert row.note.partition(";")[0] == note and (row.found is not None) == known
    assert classifier.found is None and "baseline=RUN" in classifier.note


def test_model_file_alone_says_that_its_classes_are_not_known(tmp_path):
    models.save(models.pretrained("untrained"), tmp_path / "mine.safetensors")
    alone = subject.open_subject(tmp_path / "mine.safetensors")
    assert alone.name == "mine" and "not known" in text.unseen(alone, TEST)
    assert text.training_sentence(alone).markdown.startswith("No training is recorded")
    assert text.settings_table(alone) is None and pictures.curve(alone, (None, "")) == []


def test_damaged_file_of_a_run_is_named(tmp_path):
    run_folder(tmp_path, {})
    (tmp_path / "metrics.json").write_text('{"epochs": [')
    with pytest.raises(DMLTeachError, match="metrics.json is damaged"):
        subject.open_subject(tmp_path)


def test_baseline_that_reads_other_images_is_refused_before_a_training(monkeypatch):
    wide = SimpleNamespace(model=SimpleNamespace(spec=SimpleNamespace(channels=3)))
    monkeypatch.setattr(subject, "open_subject", lambda place: wide)
    with pytest.raises(DMLTeachError, match="baseline=wide reads 3-channel images, omniglot has 1"):
        subject.open_baseline("wide", "omniglot", None)


# ── training once ────────────────────────────────────────────────────────────────────────────────────


def test_training_that_has_ended_is_left_as_it_is_and_other_options_are_refused(tmp_path, capsys):
    small = {"classes": 8, "epochs": 1, "batches_per_epoch": 2, "batch_size": 16, "method": "contrastive"}
    small |= {"output": str(tmp_path / "run"), "resume": True, "device": "cpu", "progress": False}
    subject.train(TrainConfig(**small))
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    val = json.loads(before[subject.BEFORE])["recall@1"]
    assert 0 < val < 1
    run = subject.open_subject(tmp_path / "run")
    test = subject.test_set("omniglot", None, run)
    said, figure = pictures.curve(run, subject.before_on_val(run, test, None, "cpu"))
    assert "on the 8 val classes" in said.markdown and figure.axes[1].lines[-1].get_ydata() == [val, val]
    assert "not known" not in said.markdown
    assert run.made_with["device"] == "cpu" and run.made_with["versions"]["torch"] == torch.__version__

    subject.train(TrainConfig(**small, max_minutes=5.0))
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before
    assert "has ended: it is evaluated and drawn only" in capsys.readouterr().out
    with pytest.raises(
        DMLTeachError, match=r"holds a training with epochs=1, not 2: choose another --output"
    ):
        subject.train(TrainConfig(**small | {"epochs": 2}))


# ── the network before its first step ────────────────────────────────────────────────────────────────


SMALL = {
    "classes": 8,
    "epochs": 1,
    "batches_per_epoch": 2,
    "batch_size": 16,
    "device": "cpu",
    "progress": False,
}
RECALL = {"recall@1": 0.0}  # of the untrained network on val, by run


@pytest.fixture(scope="module", params=["from random weights", "from another run"])
def trained(request, tmp_path_factory):
    """A run as `dmlteach train` makes it, which has not recorded the untrained network on its val classes."""
    folder = tmp_path_factory.mktemp("runs")
    start = {}
    if request.param == "from another run":
        start = {"checkpoint": folder / "start.safetensors"}
        models.save(models.create("omniglot_cnn", 16, seed=7), start["checkpoint"])

    def note(run):
        RECALL.setdefault(request.param, evaluate(run.model, run.parts.val.queries, ks=(1,))["recall@1"])

    config = TrainConfig(method="contrastive", seed=5, output=str(folder / "run"), **SMALL, **start)
    return subject.open_subject(fit(config, after_epoch=note).path), RECALL[request.param]


def test_the_untrained_network_of_a_run_has_an_interval_and_every_further_number(trained):
    run, _ = trained
    test = subject.test_set("omniglot", None, run)
    this = subject.Measured(run.model, test, "cpu", (1, 2, 4, 8))
    rows = subject.rows_of(run, this, test, None, "cpu")
    before = rows[1].found
    assert rows[1].note == "before the first step" and before.scores == run.metrics["untrained"]
    low, high = before.interval
    assert low < before.scores["recall@1"] < high
    lines = text.further_table(rows, test, (), 0).markdown.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:4]] == [f"| {run.name}", f"| {rows[1].name}"]
    assert lines[4] == "" and "–" not in "".join(lines)  # a classifier that was not measured has no line
    assert lines[3].endswith(f"| {text.percent(nmi(before.queries, before.labels))} |")


def test_the_curve_of_a_run_begins_with_the_untrained_network_on_its_val_classes(trained):
    run, recall = trained
    test = subject.test_set("omniglot", None, run)
    before = subject.before_on_val(run, test, None, "cpu")
    assert before == (recall, "") and 0 < recall < 1
    said, figure = pictures.curve(run, before)
    assert "not known" not in said.markdown
    name = "at the start" if run.config["checkpoint"] else "untrained"
    assert [label.get_text() for label in figure.axes[1].texts] == [name]
    kept = run.run / "data.json"
    record = kept.read_text()
    kept.write_text(record.replace(json.loads(record)["splits"]["val"]["fingerprint"], "other images"))
    unknown = subject.before_on_val(run, test, None, "cpu")
    kept.write_text(record)
    assert unknown == (None, "the val images are not known to be those of its training")
    said, figure = pictures.curve(run, unknown)
    assert said.markdown.endswith(f"before the first step is not known: {unknown[1]}.")
    assert not figure.axes[1].texts


def changed(run, recorded=None, recipe=None, **config):
    """The same run with another record, recipe or options."""
    metrics = run.metrics | {"untrained": run.metrics["untrained"] | (recorded or {})}
    return run._replace(config=run.config | config, recipe=run.recipe | (recipe or {}), metrics=metrics)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"checkpoint": "gone.safetensors"}, "the weights it started from (gone.safetensors) are not here"),
        ({"checkpoint": None, "weights": "no.pth"}, "the weights it started from (no.pth) are not here"),
        ({"checkpoint": None, "seed": 99}, "made again here, it has another Recall@1"),
        (
            {"checkpoint": None, "recipe": {"phases": [["initialize heads", 300]]}},
            "its learners were made independent on the training images",
        ),
    ],
)
def test_a_network_that_cannot_be_made_again_keeps_its_recorded_numbers_and_says_why(trained, change, why):
    run = changed(trained[0], **change)
    test = subject.test_set("omniglot", None, run)
    this = subject.Measured(run.model, test, "cpu", (1, 2, 4, 8))
    rows = subject.rows_of(run, this, test, None, "cpu")
    assert rows[1].found == trained[0].metrics["untrained"]
    assert rows[1].note == f"before the first step; no interval: {why}"
    said = text.further_table(rows, test, (), 0).markdown
    assert said.count("–") == 2 and "–: neither recorded by the run nor measured here" in said


# ── a collapsed network ──────────────────────────────────────────────────────────────────────────────


def test_report_of_a_collapsed_network_says_so_and_shows_nothing_that_would_mean_something(drawings, recwarn):
    one = measured(torch.ones(120, 6) + 1e-9 * NOISE, LABELS)
    said = "All 120 images have the same embedding: the network does not tell them apart (it has collapsed)"
    found = pictures.find(one, TEST)
    assert text.result_sentences([subject.Row("this", one)], TEST).markdown.startswith(said)
    assert text.retrieval_sentence(one, True, "all").markdown.startswith(said)
    assert pictures.random_queries(found, TEST, drawings, 3, 0) is None
    assert pictures.worst_queries(one, found, TEST, drawings, 3) == []
    assert pictures.hubs(found, TEST, drawings, 3) == []
    assert pictures.embedding_map(one, TEST, drawings, 100, 0) == []
    table = text.further_table([subject.Row("this", one)], TEST, (), 0).markdown
    assert table.splitlines()[2].startswith("| this | 0.0 % | 0.0 % |")
    assert not recwarn.list
    assert "collapsed" not in text.result_sentences([subject.Row("this", POOR)], TEST).markdown


# ── command lines that repeat it ─────────────────────────────────────────────────────────────────────


def parsed(monkeypatch, command, function):
    """Keywords with which the command line calls a function."""
    called = {}

    def stand_in(*args, **kwargs):
        called.update(kwargs or vars(args[0]))
        raise DMLTeachError("far enough")

    monkeypatch.setattr(function, stand_in)
    words = shlex.split(command)
    assert words[0] == "dmlteach"
    done = CliRunner().invoke(cli.app, words[1:])
    assert "far enough" in done.output, done.output
    return called


def test_command_that_repeats_a_training_gives_its_options(monkeypatch):
    options = {
        "root": "/my data",
        "loss": "triplet",
        "loss_options": {"margin": 0.3},
        "epochs": 3,
        "das": False,
    }
    options |= {"dataset_options": {"rotations": True}, "eval_every": 0, "compile": True, "seed": 4}
    config = TrainConfig(**options)
    found = parsed(monkeypatch, commands.training(vars(config)), "dmlteach.train.fit")
    assert {name: found[name] for name in vars(config)} == vars(config)


def test_command_that_repeats_a_report_gives_its_parameters(monkeypatch):
    chosen = {"method": "triplet", "dataset": "folder", "root": "/my data", "weights": "none", "seed": 0}
    chosen |= {
        "num_queries": 3,
        "epochs": None,
        "show_images": "permitted",
        "eval_every": 1,
        "image_size": 32,
    }
    found = parsed(monkeypatch, commands.report(chosen), "dmlteach.course.reports.run")
    assert found == {
        "method": "triplet",
        "dataset": "folder",
        "root": "/my data",
        "texts": ("weights=none", "num_queries=3", "image_size=32"),
    }


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def drawings(shipped):
    return subject.Images(shipped.model, TEST)


def test_worst_queries_are_those_whose_first_right_image_comes_last(drawings):
    found = pictures.find(POOR, TEST)
    said, grid = pictures.worst_queries(POOR, found, TEST, drawings, 3)
    places = POOR.places.sort(descending=True).values[:3].tolist()
    assert f"at place {', '.join(map(str, places))} of 119" in said.markdown
    wrong = round(120 * (1 - recall_at_k(POOR.queries, LABELS, (1,))[1]))
    assert said.markdown.startswith(f"{wrong} of 120 queries find a wrong image first")
    assert isinstance(grid, Picture)


def test_where_every_query_is_right_there_are_no_worst(drawings):
    perfect = measured(torch.eye(30)[LABELS], LABELS)
    said = pictures.worst_queries(perfect, pictures.find(perfect, TEST), TEST, drawings, 3)
    assert [one.markdown for one in said] == ["Every query finds a right image first."]


def test_hubs_are_the_images_found_most_often(drawings):
    distances = np.linalg.norm(NOISE[:, None] - NOISE, axis=2) + 1e9 * np.eye(120)
    nearest = distances.argsort(1)[:, :10].ravel().tolist()
    (_, most), (_, second) = Counter(nearest).most_common(2)
    said, _, grid = pictures.hubs(pictures.find(measured(NOISE, LABELS), TEST), TEST, drawings, 2)
    assert f"the one found most often {most} times" in said.markdown
    assert f"{(1 - len(set(nearest)) / 120):.1%}".replace("%", " % of the images never") in said.markdown
    assert grid.alt.startswith("2 hubs") and f"found {most}, {second} times" in grid.alt


def test_distances_are_drawn_of_the_networks_that_were_measured_and_said_beside_each_other():
    rows = [
        subject.Row("sst", GOOD),
        subject.Row("the untrained network", POOR),
        subject.Row("another", {"recall@1": 0.2}),
        subject.Row("a classifier", None),
    ]
    said, figure = pictures.distances(rows, TEST, seed=0)
    assert [axes.get_title() for axes in figure.axes] == ["sst", "the untrained network"]
    good, poor = (pair_distances(one.queries, LABELS, seed=0).confused for one in (GOOD, POOR))
    assert f"in {text.percent(good)} under sst ({text.percent(poor)} under the untrained" in said.markdown
    assert good < poor


def test_distances_of_queries_and_a_gallery_are_those_of_both_sets():
    test = subject.TestSet(images_of(LABELS[:60]), images_of(LABELS[60:], split="gallery"))
    both = measured(NOISE[:60], LABELS[:60])
    both.gallery = NOISE[60:]
    said, _ = pictures.distances([subject.Row("sst", both)], test, seed=0)
    assert text.percent(pair_distances(NOISE, LABELS, seed=0).confused) in said.markdown


def test_of_a_collapsed_network_no_distances_are_drawn():
    one = measured(torch.zeros(120, 2), LABELS)
    assert pictures.distances([subject.Row("sst", one)], TEST, seed=0) == []


def test_of_a_test_of_one_class_no_distances_are_drawn():
    labels = torch.zeros(6, dtype=torch.int64)
    rows = [subject.Row("sst", measured(NOISE[:6], labels))]
    assert pictures.distances(rows, subject.TestSet(images_of(labels), None), seed=0) == []


def test_images_that_may_not_be_shown_are_named_instead():
    found = pictures.find(POOR, TEST)
    assert pictures.random_queries(found, TEST, None, 3, 0) is None
    for section in (pictures.worst_queries(POOR, found, TEST, None, 3), pictures.hubs(found, TEST, None, 3)):
        assert not any(isinstance(one, Picture) for one in section)
        assert re.search(r"image \d+ of class c\d+", section[-1].markdown)
    assert "show_images=all" in text.retrieval_sentence(GOOD, False, "permitted").markdown


@pytest.mark.parametrize(("images", "has_map"), [(3, False), (4, False), (6, True), (20, True)])
def test_tiny_sets_get_a_map_or_a_sentence(images, has_map):
    labels = torch.arange(images) // 2
    test = subject.TestSet(images_of(labels), None)
    one = SimpleNamespace(queries=NOISE[:images], collapsed=False)
    parts = pictures.embedding_map(one, test, None, 100, seed=0)
    assert isinstance(parts[-1], Picture) == has_map
    if has_map:
        assert f"{images} test images, of {len(labels.unique())} classes" in parts[0].markdown
    else:
        assert parts[0].markdown == f"A map needs 5 images or more; there are {images}."


def test_small_test_sets_have_neighbours_and_no_hubs():
    labels = torch.tensor([0, 0, 1, 1])
    test = subject.TestSet(images_of(labels), None)
    found = pictures.find(measured(NOISE[:4], labels), test)
    assert found.rows.shape == (4, 3) and pictures.hubs(found, test, None, 3) == []


def test_gallery_is_searched_and_shown_behind_the_queries(shipped):
    test = subject.TestSet(images_of([0, 1]), images_of([1, 1, 0]))
    queries, gallery = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0], [-0.1]])
    one = SimpleNamespace(queries=queries, gallery=gallery, collapsed=False)
    found = pictures.find(one, test)
    assert found.rows[:, 0].tolist() == [2, 0] and found.offset == 2
    both = subject.Images(shipped.model, test)
    assert torch.equal(both[1], DRAWINGS[1]) and torch.equal(both[4], DRAWINGS[2])

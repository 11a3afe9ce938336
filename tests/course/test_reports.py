"""Reports: parameters are checked against the notebook, a failure is one error, the page stands alone."""

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

from dmlteach import data, methods, models
from dmlteach.course import reports
from dmlteach.course.reports import commands, parameters, subject, text
from dmlteach.errors import DMLTeachError
from dmlteach.train import TrainConfig


@pytest.fixture
def notebook(tmp_path):
    """A report of one line, with the parameters that name its folder."""

    def write(code):
        parameters = 'method = "sst"  # the recipe\ndataset = "omniglot"\nseed = 0\nroot = None\nepochs = 2'
        cells = [
            nbformat.v4.new_markdown_cell("# A report"),
            nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(code),
        ]
        path = tmp_path / "benchmark.ipynb"
        python = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=python), path)
        return path

    return write


def test_mistyped_parameter_is_refused_with_a_suggestion_and_the_valid_ones(notebook, tmp_path):
    valid = r"'epoch'; did you mean 'epochs'\? Known: dataset, epochs, method, output, root, seed"
    with pytest.raises(DMLTeachError, match=valid):
        reports.run(output=tmp_path / "out", notebook=notebook(""), epoch=3)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("given", "said"), [({"method": "sstt"}, "'sst'"), ({"dataset": "cub"}, "'cub200'")])
def test_unknown_method_or_data_set_is_refused_before_anything_starts(notebook, tmp_path, given, said):
    with pytest.raises(DMLTeachError, match=f"did you mean {said}"):
        reports.run(output=tmp_path / "out", notebook=notebook(""), **given)
    assert not (tmp_path / "out").exists()


def test_report_gets_its_parameters_and_is_kept_as_notebook_and_page(notebook, tmp_path):
    page = reports.run(output=tmp_path / "out", notebook=notebook("print(method, seed + epochs)"), seed=40)
    assert page == tmp_path / "out" / "report.html"
    assert "sst 42" in page.read_text(encoding="utf-8")
    assert (tmp_path / "out" / "report.ipynb").is_file()


def test_paths_are_understood_from_where_the_user_stands(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    code = "import os; print(os.path.isdir(root))"
    page = reports.run(output="out", notebook=notebook(code), root="images")
    assert "True" in page.read_text(encoding="utf-8")


def test_mistake_found_while_it_runs_is_told_without_a_traceback_and_leaves_nothing(notebook, tmp_path):
    code = 'from dmlteach.errors import DMLTeachError\nraise DMLTeachError("no GPU here; use --device cpu")'
    with pytest.raises(DMLTeachError) as caught:
        reports.run(output=tmp_path / "out", notebook=notebook(code))
    assert str(caught.value) == "no GPU here; use --device cpu"
    assert not (tmp_path / "out").exists()


def test_failure_names_a_notebook_that_is_there(notebook, tmp_path):
    with pytest.raises(DMLTeachError, match=r"benchmark.ipynb stopped in cell \d with TypeError") as caught:
        reports.run(output=tmp_path / "out", notebook=notebook("1 + 'one'"))
    named = re.search(r"with the traceback: (\S+)", str(caught.value))
    assert named and Path(named[1]).is_file()


FAILS = "import os; os.makedirs('run', exist_ok=True); open('run/model.safetensors', 'w').close(); {}"


@pytest.mark.parametrize(
    "fails", ["1 / 0", "from dmlteach.errors import DMLTeachError; raise DMLTeachError('collapsed')"]
)
def test_failure_after_training_keeps_the_run_and_says_so(notebook, tmp_path, fails):
    with pytest.raises(DMLTeachError, match="is kept in .*run: the same command evaluates and draws only"):
        reports.run(output=tmp_path / "out", notebook=notebook(FAILS.format(fails)))
    assert (tmp_path / "out" / "run" / "model.safetensors").is_file()


def test_a_report_notebook_that_is_missing_is_one_sentence_with_its_place(tmp_path):
    with pytest.raises(DMLTeachError, match=r"there is no report notebook at .*benchmark\.ipynb"):
        reports.run(notebook=tmp_path / "benchmark.ipynb")


def test_page_asks_for_nothing_from_elsewhere_and_shows_no_code(notebook):
    page = reports.to_html(notebook("print('code of a cell')"))
    assert "<script" not in page and "mathjax" not in page.lower() and "@import" not in page
    assert 'href="http' not in page and "<link" not in page
    assert "code of a cell" not in page
    assert "<title>A report</title>" in page and '<html lang="en">' in page


# ── parameters ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def defaults():
    return reports.parameters_of()


def test_parameters_of_a_report_are_its_own_and_the_options_of_the_trainer_that_it_does_not_decide(defaults):
    trainer = asdict(TrainConfig())
    assert defaults["method"] in methods.names()
    decided = {"output": None, "resume": False, "progress": True}
    assert defaults | decided == trainer | commands.OWN


def test_the_notebook_trains_with_the_options_that_it_names_and_with_further_ones():
    given = {"epochs": 3, "weight_decay": 0.0, "show_images": "all", "loss_options": {"margin": 0.2}}
    further = {"weight_decay": 0.0, "loss_options": {"margin": 0.2}}
    assert parameters.as_named(given) == {"epochs": 3, "show_images": "all", "further": further}
    assert parameters.as_named({"epochs": 3}) == {"epochs": 3}
    cells = nbformat.read(reports.NOTEBOOK, as_version=4).cells
    chosen, training = (cell.source for cell in cells if cell.id in ("parameters", "training"))
    names: dict = {}
    exec(f"{chosen}\nfurther = {further}\n{training.partition('compared =')[0]}", names)
    assert TrainConfig(**names["training"]) == TrainConfig(**further)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("classes=forty", "classes must be a whole number or none, not 'forty'"),
        ("epochs=2.5", "epochs must be a whole number or none, not 2.5"),
        ("epochs=true", "epochs must be a whole number or none, not True"),
        ("learning_rate=nan", "learning_rate must be a finite number or none, not 'nan'"),
        ("learning_rate=NaN", "learning_rate must be a finite number or none, not nan"),
        ("max_minutes=Infinity", "max_minutes must be a finite number or none, not inf"),
        ("num_queries=none", "num_queries must be a whole number, not None"),
        ("map_points=[1]", r"map_points must be a whole number, not \[1\]"),
        ("seed=1e3", "seed must be a whole number, not 1000.0"),
        ("colour=red", "unknown parameter of the report 'colour'"),
        ("notebook=mine", "unknown parameter of the report 'notebook'"),
        ("class=40", "did you mean 'classes'"),
        ("forty", "written NAME=VALUE"),
        ("=3", "written NAME=VALUE"),
    ],
)
def test_parameter_of_another_type_or_name_is_one_sentence_and_nothing_runs(tmp_path, text, said):
    with pytest.raises(DMLTeachError, match=said):
        reports.run(output=tmp_path / "out", texts=(text,))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", [{"classes": "forty"}, {"backbone": 18}, {"dataset": None}, {"seed": 0.5}])
def test_python_values_of_another_type_are_refused_too(tmp_path, given):
    (name,) = given
    with pytest.raises(DMLTeachError, match=f"^{name} must be "):
        reports.run(output=tmp_path / "out", **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seed": -1}, "seed must be at least 0"),
        ({"num_queries": 0}, "num_queries must be at least 1"),
        ({"map_points": -5}, "map_points must be at least 0"),
        ({"show_images": "some"}, "Known: all, none, permitted"),
        ({"epochs": 0}, "epochs must be positive"),
        ({"eval_every": -1}, "eval_every"),
        ({"loss": "tripplet"}, "did you mean 'triplet'"),
        ({"sampler": "locale"}, "did you mean 'local'"),
        ({"device": "gpu"}, "unknown device"),
        ({"precision": "fp16"}, "unknown precision"),
        ({"checkpoint": "no/such/run"}, "no such run folder or model file"),
        ({"baseline": "softmaxx"}, "no such run folder or model file"),
        ({"checkpoint": "sst", "epochs": 5}, "leave out epochs=5"),
        ({"checkpoint": "sst", "method": "triplet"}, "leave out method=triplet"),
        ({"checkpoint": "sst", "weight_decay": 0.1}, "leave out weight_decay=0.1"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"resume": True}, "unknown parameter of the report 'resume'"),
        ({"further": {}}, "unknown parameter of the report 'further'"),
    ],
)
def test_value_that_cannot_be_used_is_refused_before_anything_starts(tmp_path, given, said):
    with pytest.raises(DMLTeachError, match=said):
        reports.run(output=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_text_is_understood_by_the_type_of_its_parameter(defaults):
    texts = [
        "weights=none",
        "classes=none",
        'backbone="resnet18"',
        "max-minutes=2",
        "learning_rate=1e-3",
        "loss=nca",
        "normalize=false",
        'loss_options={"margin": 0.2}',
    ]
    assert parameters.read(texts, defaults) == {
        "weights": "none",
        "classes": None,
        "backbone": "resnet18",
        "max_minutes": 2,
        "learning_rate": 0.001,
        "loss": "nca",
        "normalize": False,
        "loss_options": {"margin": 0.2},
    }


def test_run_to_report_on_brings_its_own_data_set(tmp_path):
    config = {"dataset": "folder", "root": "/somewhere"}
    (tmp_path / "config.json").write_text(json.dumps({"config": config}))
    (tmp_path / models.MODEL_FILE).touch()
    assert parameters.data_of(str(tmp_path), {}) == config
    assert parameters.data_of(str(tmp_path / models.MODEL_FILE), {}) == config
    assert parameters.data_of(str(tmp_path), {"dataset": "omniglot"}) == {}
    assert parameters.data_of("sst", {}) == {} and parameters.data_of(None, {}) == {}


# ── a whole report, of a folder of twenty images ─────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def twenty_images(tmp_path_factory):
    """Ten classes of two images, each class of a shade of its own."""
    root, noise = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for c in range(10):
        (root / f"class{c}").mkdir()
        for i in range(2):
            pixels = np.clip(25 * c + noise.normal(0, 20, (24, 24, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / f"class{c}" / f"{i}.png")
    return root


def test_report_of_twenty_images_whose_drawing_fails_at_first_is_drawn_from_what_was_trained(
    twenty_images, tmp_path
):
    small = {"backbone": "resnet18", "weights": "none", "image_size": 24, "embedding_dim": 4}
    small |= {"dataset": "folder", "root": str(twenty_images), "batch_size": 4, "epochs": 1, "device": "cpu"}
    small |= {"eval_every": 0, "output": tmp_path / "out"}

    broken = nbformat.read(reports.NOTEBOOK, as_version=4)
    (drawing,) = [cell for cell in broken.cells if cell.id == "map-picture"]
    drawing.source = "1 / 0"
    nbformat.write(broken, tmp_path / "broken.ipynb")
    with pytest.raises(DMLTeachError, match="the same command evaluates and draws only"):
        reports.run(notebook=tmp_path / "broken.ipynb", **small)
    run = tmp_path / "out" / "run"
    before = {file.name: file.read_bytes() for file in run.iterdir()}

    page = reports.run(**small).read_text(encoding="utf-8")
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before
    final = json.loads(before["metrics.json"])["final"]
    assert f"Recall@1 {100 * final['recall@1']:.1f} %" in re.search("<title>(.*)</title>", page)[1]
    splits = json.loads(before["data.json"])["splits"]
    images, classes = splits["test"]["images"], len(splits["test"]["classes"])
    assert f"{images} test images of {classes} classes" in page
    assert f"Of only {classes} classes it is rough" in page or "There is no interval" in page
    assert "Images are not shown" in page and page.count("<img") == page.count('<img alt="') >= 2
    assert "dmlteach report --method sst --dataset folder" in page
    assert "dmlteach.TrainConfig" not in page  # the code
    assert "The network was trained on other classes." in page
    assert "the untrained network, before the first step" in page and "not measured" in page  # a classifier
    assert f"Trained for {final['steps']} steps, 1 whole epoch" in page

    shutil.copytree(twenty_images / "class0", twenty_images / "a class that came later")
    this = subject.open_subject(run)
    test = subject.test_set("folder", str(twenty_images), this)
    assert test.queries.class_names == splits["test"]["classes"]
    assert "1 class more than when the run was made" in text.unseen(this, test)
    trained = splits["train"]
    on = f"{trained['images']} images of {len(trained['classes'])} classes"
    assert text.splits(this, test, str(twenty_images))["trained on"] == on

    opposite = test._replace(
        queries=data.load("folder", "train", str(twenty_images), division={"train": trained["classes"]})
    )
    *_, beside = subject.rows_of(
        this, subject.Measured(this.model, opposite, "cpu", (1,)), opposite, this, "cpu"
    )
    assert "of the test were trained on" in beside.note


def test_page_of_a_collapsed_network_has_sentences_and_no_warning_of_a_program(twenty_images, tmp_path):
    network = models.create("resnet18", 4, image_size=24)
    torch.nn.init.zeros_(network.head.linear.weight)
    models.save(network, tmp_path / "collapsed.safetensors")
    given = {"checkpoint": str(tmp_path / "collapsed.safetensors"), "show_images": "all", "device": "cpu"}
    given |= {"dataset": "folder", "root": str(twenty_images), "output": tmp_path / "out"}
    page = reports.run(**given).read_text(encoding="utf-8")
    assert page.count("images have the same embedding: the network does not tell them apart") == 2
    assert "Warning" not in page and "<img" not in page
    assert "The worst queries" not in page and "A map of the embedding" not in page
    body = page.partition("<body>")[2]
    assert "&nbsp;%" in body and not re.search(r"\d %", body)  # a number and its unit stay on one line


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("train on all of them: --eval-every 0.", "train on all of them: --parameter eval_every=0."),
        ("try --learning-rate 0.01, or", "try --parameter learning_rate=0.01, or"),
        ("try --epochs 3 and --device cpu.", "try --epochs 3 and --device cpu."),
        ("divide otherwise: --dataset-option seed=1", "divide otherwise: --dataset-option seed=1"),
    ],
)
def test_advice_of_the_trainer_is_told_as_the_reports_command_line_takes_it(said, told):
    assert commands.as_parameters(said) == told

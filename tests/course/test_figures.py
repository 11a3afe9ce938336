import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dmlteach import data, models
from dmlteach.cli import app
from dmlteach.course import figures, sources
from dmlteach.course.sources import code_of, file_of
from dmlteach.embeddings import embed
from dmlteach.errors import DMLTeachError
from dmlteach.metrics import recall_at_k
from dmlteach.plots.style import Picture

COMMITTED = figures.names()


def small_picture(text="a rising line"):
    figure = Picture(2, 1, alt=text)
    figure.subplots().plot([0, 1])
    return figure


@pytest.fixture
def two_figures(monkeypatch):
    """A registry of two quick figures, which count how often they are drawn."""
    drawn = []

    def entry(name):
        def draw():
            drawn.append(name)
            return small_picture(f"figure {name}")

        return figures.Entry(draw, ("plots.style",))

    monkeypatch.setattr(figures, "FIGURES", {"one": entry("one"), "two": entry("two")})
    return drawn


def test_the_project_has_every_figure_it_promises():
    promised = [
        "search_by_drawing",
        "overview",
        "overview_on_a_phone",
        "gradients_triplet",
        "gradients_sst",
        "retrieval_omniglot",
        "tsne_omniglot",
    ]
    assert {*promised, "training_curves", "cheat_sheet"} == set(figures.names())


def test_every_module_and_input_of_a_figure_exists():
    for name, entry in figures.FIGURES.items():
        assert all(file_of(module) for module in entry.modules), name
        assert entry.function.__doc__ or entry.function.func.__doc__, name


@pytest.mark.parametrize("name", ["overview", "gradients_sst"])
def test_a_figure_is_drawn_twice_to_the_same_bytes(name, tmp_path):
    first, second = figures.draw(name, tmp_path / "a"), figures.draw(name, tmp_path / "b")
    assert [f.suffix for f in first] == [".png", ".svg", ".txt"]
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]


@pytest.mark.parametrize("name", COMMITTED)
def test_the_committed_figure_is_there_and_described(name, checkout):
    folder = checkout / "figures"
    alt = (folder / f"{name}.alt.txt").read_text(encoding="utf-8").strip()
    listed = (folder / "README.md").read_text(encoding="utf-8")
    assert (folder / f"{name}.png").stat().st_size > 10_000
    assert len(alt) > 100 and alt in listed and f"]({name}.png)" in listed


def test_only_what_changed_is_redrawn(two_figures, tmp_path, monkeypatch):
    silent = {"say": lambda line: None}
    assert figures.draw_all(tmp_path, **silent) == ["one", "two"]
    assert figures.draw_all(tmp_path, **silent) == []
    changed = replace(figures.FIGURES["two"], modules=("plots.style", "plots.curves"))
    monkeypatch.setitem(figures.FIGURES, "two", changed)
    assert figures.draw_all(tmp_path, **silent) == ["two"]
    assert figures.draw_all(tmp_path, only_changed=False, **silent) == ["one", "two"]


def test_a_figure_that_looks_as_before_keeps_its_files_and_one_that_does_not_is_written(
    tmp_path, monkeypatch
):
    def registry(height, alt="a rising line"):
        def draw():
            figure = Picture(2, 1, alt=alt)
            figure.subplots().plot([0, height])
            return figure

        monkeypatch.setattr(figures, "FIGURES", {"one": figures.Entry(draw, ("plots.style",))})
        (tmp_path / ".hashes.json").unlink(missing_ok=True)  # as in a fresh clone
        said = []
        figures.draw_all(tmp_path, say=said.append)
        kept = {file.name: file.read_bytes() for file in tmp_path.glob("one.*")}
        return kept, said

    first, _ = registry(1.0)
    again, said = registry(1.0 + 1e-5)  # another processor's last digits: other numbers in the vector version
    assert again == first and said == [f"{tmp_path / 'one'} looks as it did"]
    assert registry(1.0, "something else")[0] != first
    higher, said = registry(1.3)
    assert higher["one.png"] != first["one.png"] and said == [f"drew {tmp_path / 'one'}"]


def test_a_half_written_picture_is_drawn_again(two_figures, tmp_path):
    figures.draw_all(tmp_path, say=lambda line: None)
    drawn = (tmp_path / "one.png").read_bytes()
    (tmp_path / "one.png").write_bytes(drawn[: len(drawn) // 2])
    (tmp_path / ".hashes.json").unlink()
    figures.draw_all(tmp_path, say=lambda line: None)
    assert (tmp_path / "one.png").read_bytes() == drawn


def test_labels_have_room_in_a_picture_made_outside_the_style():
    figure = Picture(8, 3.6)
    axes = figure.subplots()
    axes.set(xlabel="position of n", ylabel="push on n")
    figure.png()
    page = figure.bbox
    for label in (axes.xaxis.label, axes.yaxis.label):
        box = label.get_window_extent()
        assert box.x0 >= page.x0 and box.y0 >= page.y0 and box.x1 <= page.x1 and box.y1 <= page.y1


def test_a_deleted_file_is_drawn_again(two_figures, tmp_path):
    figures.draw_all(tmp_path, say=lambda line: None)
    (tmp_path / "one.svg").unlink()
    assert figures.draw_all(tmp_path, say=lambda line: None) == ["one"]


def test_a_change_of_code_changes_the_figures_that_reach_it_and_no_other(monkeypatch):
    file = figures.PACKAGE / "losses" / "sst.py"
    reaches = {name for name in figures.names() if file in map_code(name)}
    overviews = {"overview", "overview_on_a_phone"}
    assert reaches == overviews | {
        "gradients_triplet",
        "gradients_sst",
        "cheat_sheet",
    }  # losses are one package


def map_code(name):
    plots_only = [m for m in figures.FIGURES[name].modules if "plots" in m]
    return {file for module in plots_only for file in code_of(module)}


def test_imports_are_followed_through_modules_and_functions():
    found = {file.relative_to(figures.PACKAGE).as_posix() for file in code_of("course.plots.ternary")}
    assert {
        "course/plots/ternary.py",
        "plots/style.py",
        "losses/sst.py",
        "losses/tuples.py",
        "distances.py",
    } <= found
    assert "train/loop.py" not in found and "cli/__init__.py" not in found


def test_a_helper_in_the_same_file_counts_as_code_of_the_figure():
    own = figures._own_code("draw_retrieval_omniglot")
    assert {line.split(":")[0] for line in own} >= {"draw_retrieval_omniglot", "_shipped", "_missing", "SEED"}
    assert "draw_overview" not in {line.split(":")[0] for line in own}


def test_an_input_file_that_changes_changes_the_fingerprint(monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "PACKAGE", tmp_path)
    monkeypatch.setattr(sources, "PACKAGE", tmp_path)
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "curves.py").write_text("import dmlteach.errors\n")
    before = figures.fingerprint("training_curves")
    (tmp_path / "course" / "recordings").mkdir(parents=True)
    (tmp_path / "course" / "recordings" / "sst.npz").write_bytes(b"one")
    with_input = figures.fingerprint("training_curves")
    (tmp_path / "course" / "recordings" / "sst.npz").write_bytes(b"two")
    assert len({before, with_input, figures.fingerprint("training_curves")}) == 3


def test_the_list_names_function_and_alt_text_of_each_figure(two_figures, tmp_path):
    figures.draw_all(tmp_path, say=lambda line: None)
    text = (tmp_path / "README.md").read_text()
    for name in ("one", "two"):
        assert f"![{name}, described below]({name}.png)" in text and f"figure {name}\n" in text
    assert set(json.loads((tmp_path / ".hashes.json").read_text())) == {"one", "two"}


def test_what_is_missing_is_one_error_after_all_else_is_drawn(two_figures, tmp_path, monkeypatch):
    def missing():
        raise DMLTeachError("the shipped state 'sst' is missing")

    monkeypatch.setitem(figures.FIGURES, "one", figures.Entry(missing, ("plots.style",)))
    with pytest.raises(DMLTeachError, match="one: the shipped state 'sst' is missing"):
        figures.draw_all(tmp_path, say=lambda line: None)
    assert (tmp_path / "two.png").exists() and not (tmp_path / "one.png").exists()


def test_a_missing_network_is_told_with_its_cure(monkeypatch):
    monkeypatch.setattr(
        figures.models, "pretrained", lambda name: figures.models.load("/nowhere/x.safetensors")
    )
    with pytest.raises(DMLTeachError, match="python -m dmlteach.course.recordings untrained"):
        figures.draw_retrieval_omniglot()


def test_an_unknown_figure_is_refused_with_the_likely_name():
    with pytest.raises(DMLTeachError, match="did you mean 'overview'"):
        figures.draw("overveiw")


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, "null", "[1]", '"text"', '{"overview": 3}'])
def test_damaged_hashes_mean_that_a_figure_is_drawn_again(tmp_path, text):
    for kind in ("png", "svg", "alt.txt"):
        (tmp_path / f"gradients_sst.{kind}").write_text("old")
    (tmp_path / figures.HASHES).write_text(text)
    assert not figures.is_current("gradients_sst", tmp_path)
    figures.draw("gradients_sst", tmp_path)
    assert figures.is_current("gradients_sst", tmp_path)


# --- of a network


def command(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["figures", *words])
    return result.exit_code, result.output


def test_a_network_is_drawn_on_a_data_set_beside_another_one(tmp_path):
    few = ["--checkpoint", "sst", "--beside", "untrained", "--classes", "12", "--folder", str(tmp_path)]
    assert command(*few)[0] == 0
    names = {file.name.partition(".")[0] for file in tmp_path.iterdir()}
    assert names == {"retrieval_omniglot", "tsne_omniglot_sst", "tsne_omniglot_untrained"}
    said = (tmp_path / "retrieval_omniglot.alt.txt").read_text()
    test = data.load("omniglot", "test", classes=12)
    for name in ("sst", "untrained"):
        recall = recall_at_k(embed(models.pretrained(name), test), test.labels, (1,))[1]
        assert f"{name}, Recall@1 {recall:.2f}" in said
    assert "among 12 classes" in said


def test_what_may_not_be_passed_on_goes_elsewhere_and_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for name in "abcdefghijkl":
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(4):
            pixels = generator.integers(0, 255, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    models.save(models.create("resnet18", 8, image_size=32), tmp_path / "mine.safetensors")
    code, said = command(
        "retrieval", "--checkpoint", "mine.safetensors", "--dataset", "folder", "--root", "images"
    )
    assert (code, f"whose terms are: {data.terms('folder')}" in said) == (0, True), said
    assert {file.name for file in (tmp_path / "build" / "figures").iterdir()} == {
        "retrieval_folder_mine.png", "retrieval_folder_mine.alt.txt", "retrieval_folder_mine.shows.json",
    }  # fmt: skip
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dataset", "omniglot"], "--dataset is of a network's figures: give --checkpoint, too."),
        (["--beside", "sst"], "--beside is of a network's figures: give --checkpoint, too."),
        (["--checkpoint", "sst", "--force"], "leave out --force"),
        (["overview", "--checkpoint", "sst"], "unknown figure 'overview'"),
        (["--checkpoint", "sst", "--beside", "sst"], "has the name of --checkpoint sst"),
        (["--checkpoint", "nowhere"], "no checkpoint at nowhere"),
    ],
)
def test_options_that_do_not_belong_together_are_refused_before_anything_is_drawn(words, said, tmp_path):
    code, output = command(*words, "--folder", str(tmp_path / "new"))
    assert code == 2 and said in output
    assert not (tmp_path / "new").exists()

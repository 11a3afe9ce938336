"""The command line: the same words everywhere, instant help, one clear error for each mistake."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import MISSING, fields
from pathlib import Path
from pkgutil import resolve_name
from unittest.mock import Mock, create_autospec

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from dmlteach import models
from dmlteach.cli import app

COMMANDS = [
    "train", "sweep", "compare", "evaluate", "embed", "search", "export", "report", "figures", "methods",
    "doctor", "course", "slides", "lab", "progress", "bundle",
]  # fmt: skip
IN_GROUPS = ["data list", "data check", "data get", "assignment make", "assignment collect"]
SMALL = ["--dataset-option", "rotations=false", "--classes", "20", "--batch-size", "40", "--no-progress"]


def run(*arguments: str):
    """The command in this process: exit code, stdout and stderr as in a shell."""
    return CliRunner().invoke(app, [*arguments])


def shell(*arguments: str, **more) -> subprocess.CompletedProcess:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "dmlteach", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **more)


def one_error(result, *parts: str) -> None:
    """It failed with one message that has these parts, and no traceback."""
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("error: ") == 1
    for part in parts:
        assert part in result.stderr
    assert "Traceback" not in result.output


def options_of(command: str) -> dict[str, object]:
    return {option.name: option for option in typer.main.get_command(app).commands[command].params}


# ── help ──────────────────────────────────────────────────────────────────────────────────────────────


def test_help_lists_every_command():
    listed = run("--help").output
    for command in [*COMMANDS, "data"]:
        assert f"\n  {command} " in listed


@pytest.mark.parametrize("command", [*COMMANDS, *IN_GROUPS])
def test_each_help_shows_an_example(command):
    done = run(*command.split(), "--help")
    assert done.exit_code == 0
    assert f"Example:\n      dmlteach {command}" in done.output


@pytest.mark.parametrize(
    "command",
    [
        "train",
        "sweep",
        "compare",
        "evaluate",
        "embed",
        "search",
        "export",
        "report",
        "course",
        "slides",
        "lab",
        "figures",
        "bundle",
    ],
)
def test_every_option_shows_its_default_or_is_repeatable_or_required(command):
    for block in run(command, "--help").output.partition("Options:")[2].split("\n  --")[1:]:
        words = " ".join(block.split())
        assert words.startswith("help") or any(
            w in words for w in ("[default: ", "repeatable", "[required]")
        ), words


def test_options_mean_the_same_in_every_command():
    shared = ["method", "dataset", "root", "epochs", "batch_size", "seed", "device", "classes"]
    train = options_of("train")
    for command in ("evaluate", "embed", "search", "report"):
        for name, option in options_of(command).items():
            if name in shared:
                assert (option.opts, option.help, option.default) == (
                    train[name].opts,
                    train[name].help,
                    train[name].default,
                ), f"{command} --{name}"
    evaluate = options_of("evaluate")
    for command in ("embed", "search", "export"):
        for name in ("checkpoint", "backbone", "weights", "image_size"):
            assert options_of(command)[name].help == evaluate[name].help, f"{command} --{name}"


def test_help_imports_nothing_heavy():
    heavy = ("torch", "numpy", "PIL", "pandas", "matplotlib", "rich", "IPython", "faiss")
    look = f"import sys; from dmlteach.cli import app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ── train has an option for everything that can be configured ─────────────────────────────────────────


def test_train_has_every_field_of_the_configuration_with_the_same_default():
    from dmlteach.train import TrainConfig

    options = options_of("train")
    for field in fields(TrainConfig):
        if field.default is MISSING:  # names with values, one at a time: --loss-option, --rate-factor
            assert field.default_factory is dict and options[field.name.removesuffix("s")].multiple
        else:
            assert options[field.name].default == field.default, field.name
    assert len(options) == len(fields(TrainConfig)) + 1
    assert "seeds" in options  # which makes several configurations of one


def test_values_of_options_arrive_as_numbers_truths_and_text():
    from dmlteach.cli.options import pairs

    given = ["num_targets=5", "margin=0.2", "balance=true", "images-per-class=4", "kind=all", "root=none"]
    assert pairs(given) == {
        "num_targets": 5, "margin": 0.2, "balance": True, "images_per_class": 4, "kind": "all", "root": None,
    }  # fmt: skip


# ── mistakes ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_mistyped_command_and_option_get_a_suggestion():
    command, option = run("trian"), run("train", "--epoch", "3")
    assert (command.exit_code, option.exit_code) == (2, 2)
    assert "Did you mean 'train'?" in command.stderr
    assert "--epochs" in option.stderr


MISTAKES = {
    "unknown method": (["--method", "sts"], ["unknown method 'sts'", "did you mean 'sst'?"]),
    "unknown data set": (["--dataset", "omniglott"], ["unknown data set", "did you mean 'omniglot'?"]),
    "unknown loss": (["--loss", "tripplet"], ["unknown loss 'tripplet'", "did you mean 'triplet'?"]),
    "unknown sampler": (["--sampler", "locale"], ["unknown sampler 'locale'", "did you mean 'local'?"]),
    "unknown option of the loss": (["--loss-option", "num_target=3"], ["'num_target'", "'num_targets'"]),
    "unknown option of the data": (["--dataset-option", "rotation=true"], ["'rotation'", "'rotations'"]),
    "not name=value": (["--loss-option", "margin"], ["NAME=VALUE", "'margin'"]),
    "batch larger than the data": (
        ["--classes", "2", "--batch-size", "4000"],
        ["batch_size 4000", "smaller"],
    ),
    "unknown device": (["--device", "gpu"], ["unknown device 'gpu'", "cuda"]),
    "missing folder": (["--dataset", "folder", "--root", "no/such"], ["no/such"]),
    "no root": (["--dataset", "folder"], ["root"]),
    "unknown backbone": (["--backbone", "resnet500"], ["unknown backbone", "did you mean 'resnet50'?"]),
    "missing checkpoint": (["--checkpoint", "no/such/run"], ["no/such/run"]),
}


@pytest.mark.parametrize(("arguments", "parts"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_training_is_one_error_and_writes_nothing(tmp_path, arguments, parts):
    folder = tmp_path / "run"
    one_error(run("train", "--output", str(folder), "--epochs", "1", *arguments), *parts)
    assert not folder.exists()


def images(folder: Path, per_class: int) -> Path:
    """Three classes of small noisy pictures for training, three others for the test."""
    pixels = np.random.default_rng(0)
    for name in ("train/a", "train/b", "train/c", "test/d", "test/e", "test/f"):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            noise = pixels.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / name / f"{number}.png")
    return folder


def train_on(folder: Path, output: Path):
    small = ["--backbone", "resnet18", "--weights", "none", "--image-size", "32", "--batch-size", "3"]
    options = [*small, "--epochs", "1", "--eval-every", "0", "--no-progress"]
    return run("train", "--dataset", "folder", "--root", str(folder), "--output", str(output), *options)


def test_a_truncated_image_is_one_error_that_names_it(tmp_path):
    picture = images(tmp_path / "images", 2) / "train" / "b" / "1.png"
    picture.write_bytes(picture.read_bytes()[:200])
    one_error_last(train_on(tmp_path / "images", tmp_path / "run"), str(picture), "truncated", "Replace")
    assert not (tmp_path / "run").exists()


def test_classes_with_one_image_each_are_one_error(tmp_path):
    done = train_on(images(tmp_path / "images", 1), tmp_path / "run")
    one_error_last(done, "one image only")


def one_error_last(result, *parts: str) -> None:
    """As `one_error`, after lines about preparing the images."""
    assert result.exit_code == 2, result.output
    before, _, message = result.stderr.partition("error: ")
    assert "Traceback" not in before + message
    assert "error: " not in message
    for part in parts:
        assert part in message


def test_cuda_without_a_gpu_is_one_error(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = run("train", "--output", str(tmp_path / "run"), "--device", "cuda")
    one_error(done, "'cuda'", "--device auto or cpu")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_checkpoint_is_one_error(tmp_path):
    (tmp_path / "notes.txt").write_text("not a network")
    numbers = tmp_path / "numbers.json"
    done = run("evaluate", "--checkpoint", str(tmp_path / "notes.txt"), "--output", str(numbers))
    one_error(done, "notes.txt", "not a dmlteach checkpoint")
    assert not numbers.exists()


def test_mistakes_in_other_commands_are_one_error_each():
    one_error(run("data", "check", "cub20"), "did you mean 'cub200'?")
    one_error(run("data", "get", "cub20"), "did you mean 'cub200'?")
    one_error(run("data", "check", "cub200", "--root", "no/such"), "no/such")
    one_error(run("evaluate", "--checkpoint", "x", "--recall-at", "1,two"), "'two'", "--recall-at")


def test_a_package_that_is_not_installed_is_one_error_with_the_cure():
    code = "import sys; sys.modules['torch'] = None; from dmlteach.cli import main; main()"
    command = [sys.executable, "-c", code, "data", "check", "omniglot"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the package torch is not installed; install")
    assert "Traceback" not in done.stderr


def test_in_a_real_shell_an_error_goes_to_stderr_with_exit_code_2(tmp_path):
    done = shell("train", "--method", "sts", "--output", str(tmp_path / "run"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: unknown method 'sts'; did you mean 'sst'?")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


# ── what the commands do ──────────────────────────────────────────────────────────────────────────────


def test_random_weights_are_taken_where_they_are_advised(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    images(tmp_path / "pictures", 2)
    query = next((tmp_path / "pictures").rglob("*.png"))
    search = ("search", str(query), "--gallery", str(tmp_path / "pictures"), "--backbone", "resnet18")
    search += ("--image-size", "32", "--output", str(tmp_path / "found.png"))
    one_error(run(*search), "--weights none starts from random weights")
    done = run(*search, "--weights", "none")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "found.png").is_file()
    # The small network of drawings has no published weights: none need not be said.
    done = run("evaluate", "--backbone", "omniglot_cnn", "--classes", "2")
    assert done.exit_code == 0, done.output


def test_evaluation_says_how_many_starts_nmi_and_f1_have(tmp_path):
    models.save(models.create("omniglot_cnn", 8), tmp_path / "model.safetensors")
    asked = ("evaluate", "--checkpoint", str(tmp_path / "model.safetensors"), "--classes", "3")
    shown = run(*asked, "--nmi", "--nmi-starts", "2", "--output", str(tmp_path / "found.json"))
    assert shown.exit_code == 0, shown.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["nmi_starts"] == 2
    assert 0 < found["f1"] <= 1
    assert f"f1             {found['f1']:.4f}" in shown.stdout
    assert "nmi_starts     2" in shown.stdout
    one_error(run(*asked, "--nmi-starts", "2"), "--nmi")


def test_methods_shows_every_recipe_with_its_paper():
    from dmlteach import methods

    shown = run("methods").output
    for name in methods.names():
        assert name in shown
    assert "Neurocomputing" in shown


def test_data_list_check_and_get_know_the_same_data_sets():
    from dmlteach import data

    listed = run("data", "list").output
    assert all(name in listed for name in data.names())
    assert "CUB_200_2011.tgz" in run("data", "get", "cub200").output
    assert "complete" in run("data", "check", "omniglot").output


def test_evaluate_takes_the_run_that_train_wrote(tmp_path):
    trained = run("train", "--output", str(tmp_path / "run"), "--epochs", "1", *SMALL)
    assert trained.exit_code == 0, trained.output
    assert "recall@1" in trained.output
    assert f"run: {tmp_path / 'run'}" in trained.output
    numbers = tmp_path / "numbers.json"
    evaluated = run(
        "evaluate", "--checkpoint", str(tmp_path / "run"), "--classes", "20", "--output", str(numbers)
    )
    assert evaluated.exit_code == 0, evaluated.output
    final = json.loads((tmp_path / "run" / "metrics.json").read_text())["final"]
    assert json.loads(numbers.read_text())["recall@1"] == pytest.approx(final["recall@1"], abs=1e-6)


def test_what_the_package_warns_of_is_one_line_without_a_place_in_its_code(tmp_path):
    model = str(tmp_path / "model.safetensors")
    models.save(models.create("resnet18", 4, image_size=32), model)
    folder = images(tmp_path / "images", 2)
    done = run("evaluate", "--checkpoint", model, "--dataset", "folder", "--root", str(folder))
    assert done.exit_code == 0, done.output
    assert "note: Recall@8 left out: only 5 items are searched in the test split.\n" in done.stderr
    assert "Warning" not in done.stderr
    assert "recall@4" in done.stdout and "recall@8" not in done.stdout
    named = ["--dataset", "folder", "--root", str(folder), "--recall-at", "1,6"]
    refused = run("evaluate", "--checkpoint", model, *named)
    assert refused.exit_code == 2 and "Traceback" not in refused.output
    assert "error: Recall@6 of 5 items searched" in refused.stderr


def test_parts_of_methods_combine_from_the_command_line(tmp_path):
    words = (
        "--method softmax --loss multi_similarity --loss-option epsilon=0.2 --sampler class_balanced "
        "--sampler-option images_per_class=4 --das --das-option copies=1 --memory 64"
    )
    trained = run("train", "--output", str(tmp_path / "run"), "--epochs", "2", *words.split(), *SMALL)
    assert trained.exit_code == 0, trained.output
    recipe = json.loads((tmp_path / "run" / "config.json").read_text())["recipe"]
    assert (recipe["loss"], recipe["loss_options"]) == ("multi_similarity", {"epsilon": 0.2})
    assert (recipe["sampler"], recipe["sampler_options"]) == ("class_balanced", {"images_per_class": 4})
    assert (recipe["das"], recipe["das_options"], recipe["memory"]) == (True, {"copies": 1}, 64)
    assert (recipe["normalize"], recipe["imprint"]) == (True, 0)
    words = "--method softmax --imprint 2 --head-option weights=size"
    one_error(
        run("train", "--output", str(tmp_path / "no"), *words.split(), *SMALL),
        "unknown option of the linear head",
    )
    words = "--method bier --head-option weights=size"
    boosted = run("train", "--output", str(tmp_path / "bier"), "--epochs", "1", *words.split(), *SMALL)
    assert boosted.exit_code == 0, boosted.output


def test_evaluate_across_domains_prints_every_direction(tmp_path):
    numbers = tmp_path / "numbers.json"
    model = str(tmp_path / "model.safetensors")
    models.save(models.create("omniglot_cnn", 8), model)
    forward = run(
        "evaluate", "--checkpoint", model, "--across", "forward", "--classes", "6", "--output", str(numbers)
    )
    assert forward.exit_code == 0, forward.output
    assert "drawings → restyled\nrecall@1" in forward.output
    average = json.loads(numbers.read_text())["average"]["recall@1"]
    assert f"{average:.4f}" in forward.output
    reverse = run("evaluate", "--checkpoint", model, "--across", "reverse", "--classes", "6")
    assert "restyled → drawings" in reverse.output
    one_error(run("evaluate", "--checkpoint", model, "--across", "revers"), "did you mean 'reverse'?")


# ── own pictures ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def photo_model(tmp_path) -> str:
    """A small network for photographs, as a model file."""
    file = tmp_path / "photos.safetensors"
    models.save(models.create("resnet18", 8, normalize=True, image_size=32), file)
    return str(file)


def test_embed_takes_a_run_and_a_data_set(tmp_path):
    from dmlteach.data import load
    from dmlteach.embeddings import embed

    trained = run("train", "--output", str(tmp_path / "run"), "--epochs", "1", *SMALL)
    assert trained.exit_code == 0, trained.output
    file = tmp_path / "z.npz"
    done = run("embed", "--checkpoint", str(tmp_path / "run"), "--classes", "3", "--output", str(file))
    assert done.exit_code == 0, done.output
    expected = embed(models.load(tmp_path / "run"), load("omniglot", "test", classes=3))
    with np.load(file) as stored:
        np.testing.assert_allclose(stored["embeddings"], expected.numpy(), rtol=0, atol=1e-5)
        assert stored["labels"].tolist() == [0] * 20 + [1] * 20 + [2] * 20
    assert done.output == f"60 embeddings of {expected.shape[1]} numbers: {file}\n"


def test_embed_takes_a_folder_or_a_split_of_it(tmp_path, photo_model):
    folder, file = images(tmp_path / "images", 2), tmp_path / "z.npz"
    whole = run("embed", "--checkpoint", photo_model, "--images", str(folder), "--output", str(file))
    assert whole.exit_code == 0, whole.output
    with np.load(file) as stored:
        assert stored["embeddings"].shape == (12, 8)
        assert stored["paths"].tolist()[:2] == ["test/d/0.png", "test/d/1.png"]
        assert stored["class_names"].tolist() == list("abcdef")
    part = ["--dataset", "folder", "--root", str(folder), "--split", "train"]
    done = run("embed", "--checkpoint", photo_model, *part, "--output", str(file))
    assert done.exit_code == 0, done.output
    with np.load(file) as stored:
        assert stored["paths"].tolist() == ["a/0.png", "a/1.png", "b/0.png", "b/1.png", "c/0.png", "c/1.png"]


def test_a_collapsed_network_is_said_to_be_one_by_every_command_in_the_same_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole, collapsed = (
        models.create("resnet18", 8, image_size=32),
        models.create("resnet18", 8, image_size=32),
    )
    torch.nn.init.zeros_(collapsed.head.linear.weight)
    models.save(whole, "whole.safetensors")
    models.save(collapsed, "collapsed.safetensors")
    folder = images(tmp_path / "images", 4)
    own = ["--dataset", "folder", "--root", str(folder)]
    query = str(folder / "test" / "d" / "0.png")
    sentence = (
        "ll 12 images have the same embedding: the network does not tell them apart (it has collapsed), and "
        "their order says nothing.\n"
    )
    for name, said in (("whole", 0), ("collapsed", 1)):
        network = ["--checkpoint", f"{name}.safetensors"]
        measured = run("evaluate", *network, *own)
        written = run("embed", *network, *own, "--output", "z.npz")
        found = run("search", *network, "--gallery", str(folder / "test"), query)
        assert measured.exit_code == written.exit_code == found.exit_code == 0
        for notes in (measured.stderr, written.stderr):
            assert notes.count(f"note: a{sentence}") == notes.count("same embedding") == said
        assert (
            found.output.count(f"A{sentence.replace('12', '13')}") == found.output.count("same emb") == said
        )


def test_search_prints_a_table_and_draws_a_picture(tmp_path, photo_model):
    folder, picture = images(tmp_path / "images", 3), tmp_path / "found" / "search.png"
    asked = [str(folder / "train" / "a" / "0.png"), str(folder / "test" / "e" / "1.png")]
    arguments = ["--checkpoint", photo_model, "--gallery", str(folder), "--k", "4", "--output", str(picture)]
    done = run("search", *arguments, *asked)
    assert done.exit_code == 0, done.output
    assert f"{asked[0]}  (class a)" in done.output and f"{asked[1]}  (class e)" in done.output
    assert done.output.count(".png\n") == 2 * 4 + 1  # the neighbours and the picture
    assert done.output.endswith(f"figure: {picture}\n")
    assert [path.name for path in picture.parent.iterdir()] == ["search.png"]
    with Image.open(picture) as drawn:
        assert "2 query images" in drawn.text["Description"]


def test_export_writes_a_program_and_says_how_to_use_it(tmp_path, photo_model):
    file = tmp_path / "new" / "model.pt2"
    done = run("export", "--checkpoint", photo_model, "--output", str(file))
    assert done.exit_code == 0, done.output
    assert done.output == f"program: {file}\nhow to use it: {file}.json\n"
    assert json.loads(Path(f"{file}.json").read_text())["output"]["shape"] == ["N", 8]


def test_mistakes_with_own_pictures_are_one_error_each_and_write_nothing(tmp_path, photo_model):
    folder = images(tmp_path / "images", 1)
    (tmp_path / "empty").mkdir()
    one, network = str(folder / "train" / "a" / "0.png"), ["--checkpoint", photo_model]
    npz, png = ["--output", str(tmp_path / "z.npz")], ["--output", str(tmp_path / "search.png")]
    before = sorted(tmp_path.rglob("*"))
    beside = ["--images", str(folder), "--root", str(folder)]
    one_error(run("embed", *network, *npz, *beside), "--images", "leave out --root")
    one_error(run("embed", *network, "--output", "z.csv"), ".npz or .parquet", "'z.csv'")
    one_error(run("embed", *npz, "--images", str(folder)), "--checkpoint", "--backbone")
    one_error(run("embed", *network, *npz), "resnet18 reads 3-channel images", "have 1")
    one_error(run("search", *network, *png, "--gallery", str(tmp_path / "empty"), one), "no image below")
    one_error(run("search", *network, *png, "--gallery", str(folder), "no/such.png"), "no/such.png")
    one_error(run("search", *network, "--gallery", str(folder), one, "--output", "a.jpg"), "*.png", "a.jpg")
    one_error(run("export", *network, "--output", "model.onnx"), "*.pt2", "model.onnx")
    (folder / "train" / "b" / "0.png").write_bytes(b"\x89PNG, or not")
    damaged = run("search", *network, *png, "--gallery", str(folder), one)
    one_error_last(damaged, str(folder / "train" / "b" / "0.png"), "Replace the file, or remove it")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    first = ["train", "--output", str(tmp_path), "--epochs", "1", *SMALL]
    assert run(*first).exit_code == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    one_error(run(*first), "already holds a run", "--resume")
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


def test_ctrl_c_saves_and_ends_with_130_and_resume_continues(tmp_path):
    arguments = ["train", "--output", str(tmp_path / "run"), "--epochs", "500", *SMALL]
    command = [sys.executable, "-m", "dmlteach", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _wait_until((tmp_path / "run" / "metrics.json").exists, process)  # after the first epoch
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    assert not list((tmp_path / "run").glob("*.part"))
    metrics = tmp_path / "run" / "metrics.json"
    interrupted = json.loads(metrics.read_text())
    resumed = run(*arguments, "--resume", "--max-minutes", "0.001")
    assert resumed.exit_code == 0, resumed.output
    continued = json.loads(metrics.read_text())
    assert 1 <= len(interrupted["epochs"]) < 500
    assert continued["epochs"][: len(interrupted["epochs"])] == interrupted["epochs"]
    assert continued["untrained"] == interrupted["untrained"] and "final" not in interrupted


def _wait_until(condition, process: subprocess.Popen, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "the run did not get there"
        time.sleep(0.05)


# ── commands that call other parts: what they pass on fits the function they call ─────────────────────


def stand_in(monkeypatch, function: str, answer: object) -> Mock:
    """Put a stand-in, which refuses arguments that the real function does not take, in its place."""
    double = create_autospec(resolve_name(function), return_value=answer)
    monkeypatch.setattr(function.replace(":", "."), double)
    return double


def test_course_passes_its_options_on(monkeypatch):
    build = stand_in(monkeypatch, "dmlteach.course.site:build", Path("build/course/index.html"))
    done = run("course", "--jobs", "1", "--force", "--profile", "full")
    assert "index.html" in done.output
    options = build.call_args.kwargs
    assert (options["jobs"], options["force"], options["profile"]) == (1, True, "full")


def test_report_passes_its_options_and_parameters_on(monkeypatch):
    write = stand_in(monkeypatch, "dmlteach.course.reports:run", Path("report.html"))
    done = run("report", "--max-minutes", "2", "--batch-size", "64", "--parameter", "image_size=128")
    assert done.exit_code == 0 and "report.html" in done.output
    # what nobody asked for is left to the notebook: its defaults, or those of a run to report on
    assert write.call_args.kwargs == {"max_minutes": 2.0, "batch_size": 64, "texts": ("image_size=128",)}


def test_every_option_of_report_is_a_parameter_of_its_notebook():
    from dmlteach.course import reports

    known = {*reports.parameters_of(), "output"}
    assert set(options_of("report")) - {"parameter", "comparison"} <= known
    one_error(run("report", "--parameter", "epoch=3"), "unknown parameter of the report 'epoch'", "'epochs'")
    one_error(run("report", "--parameter", "notebook=mine"), "unknown parameter of the report 'notebook'")


def test_figures_draws_all_or_the_named_ones(monkeypatch):
    from dmlteach.course import figures

    draw = stand_in(monkeypatch, "dmlteach.course.figures:draw", None)
    draw_all = stand_in(monkeypatch, "dmlteach.course.figures:draw_all", None)
    assert run("figures").exit_code == 0
    draw_all.assert_called_once_with("figures", only_changed=True)
    assert run("figures", "--force", "--folder", "elsewhere").exit_code == 0
    draw_all.assert_called_with("elsewhere", only_changed=False)
    name = figures.names()[0]
    assert run("figures", name, "--folder", "elsewhere").exit_code == 0
    draw.assert_called_once_with(name, "elsewhere")
    one_error(run("figures", name + "x"), "unknown figure", f"did you mean '{name}'?")


def test_lab_opens_the_chosen_notebook_in_this_python(monkeypatch):
    call = stand_in(monkeypatch, "subprocess:call", 0)
    stand_in(monkeypatch, "signal:signal", None)
    assert run("lab", "02", "--no-browser", "--port", "9999").exit_code == 0
    command = call.call_args.args[0]
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert {"--port=9999", "--no-browser"} <= set(command)
    (opened,) = (part for part in command if part.startswith("--LabApp.default_url="))
    assert opened.startswith("--LabApp.default_url=/lab/tree/notebooks/triplet_versus_sst")
    assert Path(call.call_args.kwargs["cwd"], "notebooks").is_dir()


def test_lab_opens_a_copy_where_a_folder_is_named(monkeypatch, tmp_path):
    call = stand_in(monkeypatch, "subprocess:call", 0)
    stand_in(monkeypatch, "signal:signal", None)
    done = run("lab", "02", "--folder", str(tmp_path / "mine"))
    assert done.exit_code == 0 and f"course: {tmp_path / 'mine'}" in done.output
    assert f"--ServerApp.root_dir={tmp_path / 'mine'}" in call.call_args.args[0]
    assert (tmp_path / "mine" / "notebooks" / "triplet_versus_sst_gradients.ipynb").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["99"], "unknown notebook '99'"),
        (["--port", "0"], "--port takes"),
        (["--folder", ""], "--folder is empty"),
    ],
)
def test_lab_copies_nothing_where_it_cannot_open(monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    one_error(run("lab", "--folder", str(tmp_path / "mine"), *arguments), said)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_notebook_names_those_there_are():
    one_error(run("lab", "99"), "unknown notebook '99'", "start_here")


def test_playground_writes_one_page_whole(tmp_path):
    page = tmp_path / "new" / "page.html"
    assert f"playground: {page}" in run("playground", "--output", str(page)).output
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert [p.name for p in page.parent.iterdir()] == ["page.html"]


def test_playground_writes_the_lab_under_its_own_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "playground: embedding-lab.html" in run("playground", "--lab").output
    assert "<title>Embedding lab" in (tmp_path / "embedding-lab.html").read_text("utf-8")


@pytest.mark.parametrize("command", ["evaluate", "embed", "search", "export"])
def test_an_output_that_cannot_be_written_is_refused_before_any_image_is_looked_at(
    command, tmp_path, monkeypatch
):
    ends = {"evaluate": "json", "embed": "npz", "search": "png", "export": "pt2"}
    models.save(models.pretrained("untrained"), tmp_path / "model.safetensors")
    monkeypatch.setattr(models.Model, "forward", lambda *_: pytest.fail("the network has been at work"))
    place = tmp_path / "model.safetensors" / f"x.{ends[command]}"
    picture = tmp_path / "a.png"
    Image.new("L", (28, 28)).save(picture)
    searched = [str(picture), "--gallery", str(tmp_path)] if command == "search" else []
    done = run(
        command, *searched, "--checkpoint", str(tmp_path / "model.safetensors"), "--output", str(place)
    )
    one_error(done, f"{place} cannot be written", "is not a folder. Choose another folder")

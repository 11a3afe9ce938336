"""Files are whole or not there, and a disk that takes no more is one sentence."""

import errno
import io
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from dmlteach import embeddings, files, models
from dmlteach.data import load
from dmlteach.errors import DMLTeachError

STATE = {str(number): torch.arange(1000.0) for number in range(40)}  # 160 kB


@contextmanager
def limited_to(size: int):
    """No file may grow beyond `size` bytes: the kernel refuses the rest, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def save_state(file):
    torch.save(STATE, file)


def save_program(file):
    network = torch.nn.Sequential(torch.nn.Linear(100, 200), torch.nn.Linear(200, 100))
    torch.export.save(torch.export.export(network, (torch.zeros(2, 100),)), file)


def save_arrays(file):
    np.savez(file, **{name: values.numpy() for name, values in STATE.items()})


def save_drawing(file):
    figure = Figure()
    figure.subplots().imshow(np.random.default_rng(0).random((300, 300)), interpolation="none")
    figure.savefig(file, format="png", dpi=200)


def save_bytes(file):
    file.write(bytes(100_000))


SAVERS = [save_state, save_program, save_arrays, save_drawing, save_bytes]


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "a.bin"
    with files.whole(path) as file:
        file.write(b"content")
        assert [p.suffix for p in path.parent.iterdir()] == [".part"]
    assert list(path.parent.iterdir()) == [path] and path.read_bytes() == b"content"


def test_a_body_that_raises_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), files.whole(path) as file:
        file.write(b"new" * 10_000)
        file.flush()
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"old"


@pytest.mark.parametrize("size", [0, 10, 9000, 40_000])
@pytest.mark.parametrize("save", SAVERS, ids=[save.__name__ for save in SAVERS])
def test_where_the_disk_takes_no_more_there_is_one_sentence_and_the_old_file(save, size, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with limited_to(size), pytest.raises(DMLTeachError) as caught, files.whole(path) as file:
        save(file)
    said = str(caught.value)
    assert said.startswith(f"{path} cannot be written: it is larger than") and str(tmp_path) in said
    assert "B free). Make room" in said and "unchanged" in said
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"old"


@pytest.mark.parametrize("save", SAVERS, ids=[save.__name__ for save in SAVERS])
def test_a_full_disk_is_said_to_be_full(save):
    with pytest.raises(DMLTeachError, match=r"^/dev/full cannot .* the disk of /dev is full .* Make room"):  # noqa: SIM117
        with files.whole("/dev/full") as file:
            save(file)


@pytest.mark.parametrize(
    "place", ["file/a.json", "file/below/a.json", "folder", "a" * 300, "new/a.json", "a.json", "file", "."]
)
def test_what_could_not_be_written_is_refused_before_the_work_in_the_same_words(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("folder").mkdir()
    said = []
    for begin in (files.check_place, lambda path: files.write_text(path, "text")):
        there = sorted(Path().rglob("*"))
        try:
            begin(place)
            said.append("")
        except DMLTeachError as error:
            said.append(str(error))
            assert "free" not in said[-1]  # room is not what is missing
        assert begin is not files.check_place or sorted(Path().rglob("*")) == there
    assert said[0] == said[1] and bool(said[0]) == (place not in ("new/a.json", "a.json", "file"))


def test_a_device_can_be_written_to():
    files.check_place("/dev/null")


def test_models_and_embeddings_are_not_half_there_either(tmp_path):
    images = load("omniglot", "test", classes=1)
    z = torch.zeros(len(images), 4000)
    with limited_to(20_000):
        with pytest.raises(DMLTeachError, match="z.npz cannot be written"):
            embeddings.write(tmp_path / "z.npz", z, images)
        with pytest.raises(DMLTeachError, match="model.safetensors cannot be written"):
            models.save(models.create("omniglot_cnn", 16, seed=0), tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_file_may_be_read_by_whoever_may_read_new_files(tmp_path):
    before = os.umask(0o027)
    try:
        models.save(models.create("omniglot_cnn", 16, seed=0), tmp_path / "model.safetensors")
        files.write_json(tmp_path / "a.json", [1])
    finally:
        os.umask(before)
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o640}


def test_of_two_writers_at_one_file_the_last_to_end_stays_whole(tmp_path):
    path = tmp_path / "a.bin"
    with files.whole(path) as first:
        first.write(b"first" * 10_000)
        with files.whole(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"first" * 10_000


def test_what_is_no_plain_file_is_written_to_as_it_is(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.write_text(pipe, "text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)
    assert list(tmp_path.iterdir()) == [pipe] and pipe.is_fifo()


def test_ctrl_c_while_torch_writes_is_ctrl_c(tmp_path, monkeypatch):
    class Interrupted(io.FileIO):
        def write(self, data):
            signal.raise_signal(signal.SIGINT)
            return super().write(data)

    monkeypatch.setattr(io, "FileIO", Interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a browser's event loop has its own
    try:
        with pytest.raises(KeyboardInterrupt), files.whole(tmp_path / "a.pt") as file:
            torch.save(STATE, file)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, ["is full", "Make room"]),
        (errno.EDQUOT, ["quota", "Make room"]),
        (errno.EACCES, ["may not write", "Choose another folder"]),
        (errno.EROFS, ["only be read", "Choose another folder"]),
        (errno.ENOENT, ["not any more", "Choose another folder"]),
        (errno.EIO, [os.strerror(errno.EIO)]),
    ],
)
def test_each_refusal_names_its_reason_and_the_cure(number, words, tmp_path, monkeypatch):
    def refuse(*names):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(DMLTeachError) as caught:
        files.write_text(tmp_path / "a.txt", "text")
    assert all(word in str(caught.value) for word in [*words, str(tmp_path / "a.txt")])
    assert ("B free" in str(caught.value)) == ("Make room" in words)  # how much is, where room is the matter
    assert not list(tmp_path.iterdir())


def test_places_where_no_file_can_be_are_one_sentence(tmp_path):
    (tmp_path / "file").write_text("no folder")
    for path in (tmp_path / "file" / "a.txt", tmp_path / "file" / "b" / "a.txt", Path("/proc/none/a.txt")):
        with pytest.raises(DMLTeachError, match="is not"):
            files.write_text(path, "text")
    with pytest.raises(DMLTeachError, match="it is a folder"):
        files.write_text(tmp_path, "text")
    with pytest.raises(DMLTeachError, match="too long"):
        files.write_text(tmp_path / ("a" * 300), "text")


# ── folders for one process at a time ─────────────────────────────────────────────────────────────────


def test_a_folder_has_one_holder_and_is_free_without_a_trace_afterwards(tmp_path):
    first, second = files.Lock(tmp_path / "new" / "run"), files.Lock(tmp_path / "new" / "run")
    assert first.take() and first.take()
    assert not second.take()
    first.release()
    assert not list(tmp_path.iterdir())
    assert second.take()
    (tmp_path / "new" / "run" / "a.txt").touch()
    second.release()
    assert [path.name for path in (tmp_path / "new" / "run").iterdir()] == ["a.txt"]


def test_a_process_that_is_killed_leaves_its_folder_free(tmp_path):
    program = (
        "import pathlib, sys, time; from dmlteach.files import Lock; lock = Lock(pathlib.Path(sys.argv[1])); "
        "print(lock.take(), flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "run")]
    lock = files.Lock(tmp_path / "run")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "True\n"
        assert not lock.take()
        other.kill()
    assert lock.take()
    lock.release()


def test_a_folder_that_was_removed_is_made_anew_unless_somebody_else_has_begun_there(tmp_path):
    folder = tmp_path / "run"
    lock, other = files.Lock(folder), files.Lock(folder)
    assert lock.take()
    shutil.rmtree(folder)
    assert lock.take() and folder.is_dir()
    assert not other.take()
    shutil.rmtree(folder)
    assert other.take()
    assert not lock.take()
    lock.release()  # not its own any more
    assert not files.Lock(folder).take()
    other.release()


def test_where_the_file_system_knows_no_locks_work_goes_on(tmp_path, monkeypatch):
    import fcntl

    def refuse(*given):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert files.Lock(tmp_path / "run").take()


def test_a_folder_that_cannot_be_taken_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DMLTeachError, match="run.lock cannot be written: .* is not a folder"):
        files.Lock(tmp_path / "file").take()


def test_what_a_kill_has_left_half_written_is_removed_and_nothing_else(tmp_path):
    for name in ("checkpoint.pt.0123abcd.part", "checkpoint.pt", "film.part"):
        (tmp_path / name).touch()
    files.remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt", "film.part"}


# ── JSON ──────────────────────────────────────────────────────────────────────────────────────────────


def test_json_is_written_with_a_line_at_its_end_and_without_nan(tmp_path):
    files.write_json(tmp_path / "a.json", {"ü": [1.5]})
    files.write_json_lines(tmp_path / "a.jsonl", [{"a": 1}, {"a": 2}])
    assert json.loads((tmp_path / "a.json").read_text()) == {"ü": [1.5]}
    assert (tmp_path / "a.jsonl").read_text() == '{"a": 1}\n{"a": 2}\n'
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "a.json", float("nan"))
    assert json.loads((tmp_path / "a.json").read_text()) == {"ü": [1.5]}

"""A program that damages files at random and reads them.

Usage: `python -m tests.mutations SEED COUNT FOLDER [KIND …]`

Every file is either read or refused by one `DMLTeachError`. Anything else is told as a line of JSON with the
kind, seed and number that make the same file again. Memory and time of each case are limited: what takes more
ends the program, and the last line names the case.
"""

import faulthandler
import io
import json
import os
import resource
import shutil
import signal
import sys
import tarfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from dmlteach import data, models
from dmlteach.course import execute, figures, site
from dmlteach.course.exercises import progress
from dmlteach.course.exercises.replies import Reply
from dmlteach.course.exercises.training import inspect_halves, inspect_runs
from dmlteach.data import cached
from dmlteach.data.decode import decode, pixels_of, size_of
from dmlteach.data.files import list_archive
from dmlteach.data.unpack import unpack
from dmlteach.device import choose_device
from dmlteach.distributed import World
from dmlteach.errors import DMLTeachError
from dmlteach.plots.curves import read_curve, training_curves
from dmlteach.sweep import compare
from dmlteach.sweep.choices import read_file
from dmlteach.sweep.grid import plan
from dmlteach.sweep.index import FILE, Index
from dmlteach.sweep.one import Outcome, peak_memory
from dmlteach.sweep.overview import Overview
from dmlteach.train import Run, TrainConfig, checkpoint, fit
from tests.data import miniatures
from tests.sweep import runs

CHECKOUT = Path(__file__).parent.parent
MOST_BYTES = 2_000_000_000  # of private memory, the interpreter with torch included
MOST_SECONDS = 10  # of CPU
# The readers of LZMA and of torch ask at once for as much memory as a file says, before they fill any of it.
ASK_FIRST = ("archives", "weights", "checkpoints")
Rng = np.random.Generator


class Kind(NamedTuple):
    """A kind of file: how it is made in a folder, which files are damaged, and what reads them."""

    make: Callable[[Path], list[Path]]
    read: Callable[[Path, Path], Any]  # the folder, and the file that was damaged


# ── how files are damaged ─────────────────────────────────────────────────────────────────────────────


def _span(content: bytes, rng: Rng, most: int = 64) -> tuple[int, int]:
    """A place near the beginning as often as anywhere, and its end: there lie the heads."""
    start = int(rng.integers(0, min(len(content), 400) if rng.random() < 0.5 else len(content)))
    return start, min(len(content), start + int(rng.integers(1, most)))


def flip_bits(content: bytes, rng: Rng) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        changed[_span(content, rng)[0]] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut_off(content: bytes, rng: Rng) -> bytes:
    return content[: int(rng.integers(0, len(content)))]


def insert(content: bytes, rng: Rng) -> bytes:
    start, end = _span(content, rng)
    return content[:start] + rng.bytes(end - start) + content[start:]


def remove(content: bytes, rng: Rng) -> bytes:
    start, end = _span(content, rng)
    return content[:start] + content[end:]


def swap(content: bytes, rng: Rng) -> bytes:
    (a, b), (c, d) = sorted([_span(content, rng), _span(content, rng)])
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:] if b <= c else content[::-1]


def zero(content: bytes, rng: Rng) -> bytes:
    start, end = _span(content, rng, most=1000)
    return content[:start] + bytes(end - start) + content[end:]


def fill(content: bytes, rng: Rng) -> bytes:
    """Lengths and counts as large as they get."""
    start, _ = _span(content, rng)
    return content[:start] + b"\xff" * int(rng.choice([1, 2, 4, 8])) + content[start + 4 :]


def extend(content: bytes, rng: Rng) -> bytes:
    return content + (rng.bytes(100) if rng.random() < 0.5 else content)


BYTES = (flip_bits, cut_off, insert, remove, swap, zero, fill, extend)
WORDS = [
    b"0",
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"9" * 5000,
    b"[" * 5000,
    b"\xff",
    "²".encode(),
    b" ",
    b"\n",
    b"\0",
    b"/",
    b"../",
    b"1.5",
    b"99999999",
    b"\xe2\x80\xa8",
]


def replace_word(content: bytes, rng: Rng) -> bytes:
    """A number, a name or a sign of a text becomes another."""
    marks = [i for i, byte in enumerate(content) if byte in b' ,:\n"[]{}']
    if len(marks) < 2:
        return WORDS[int(rng.integers(len(WORDS)))]
    i = int(rng.integers(len(marks) - 1))
    return content[: marks[i] + 1] + WORDS[int(rng.integers(len(WORDS)))] + content[marks[i + 1] :]


def shuffle_lines(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    i, j = rng.integers(len(lines), size=2)
    lines[i], lines[j] = lines[j], lines[i] if rng.random() < 0.5 else b""
    return b"\n".join(lines)


def damage(path: Path, rng: Rng) -> None:
    """Damage a file once, or sometimes twice."""
    content = path.read_bytes()
    is_text = path.suffix in (".txt", ".json", ".ipynb", ".yaml")
    for _ in range(1 + int(rng.random() < 0.2)):
        if not content:
            break
        kinds = (replace_word, replace_word, replace_word, shuffle_lines, *BYTES) if is_text else BYTES
        content = kinds[int(rng.integers(len(kinds)))](content, rng)
    path.write_bytes(content)


ODD = [None, True, 0, -1, 2**70, float("nan"), float("inf"), 1.5, "text", [], {}, [1, "a"], {"a": None}, ()]


def damage_inside(content: Any, rng: Rng) -> Any:
    """A table of tensors and values in which one is missing or odd."""
    if isinstance(content, dict) and content and rng.random() < 0.9:
        changed = dict(content)
        key = list(changed)[int(rng.integers(len(changed)))]
        if rng.random() < 0.2:
            del changed[key]
        else:
            changed[key] = damage_inside(changed[key], rng)
        return changed
    if isinstance(content, list | tuple) and content and rng.random() < 0.9:
        changed = list(content)
        i = int(rng.integers(len(changed)))
        changed[i] = damage_inside(changed[i], rng)
        return changed if isinstance(content, list) else tuple(changed)
    if isinstance(content, torch.Tensor) and rng.random() < 0.8:
        changes = (
            lambda t: t[:1] if t.ndim else t[None],
            lambda t: t.double() * 1e30,
            lambda t: t.T,
            torch.zeros_like,
            lambda t: t.long() - 7,
            lambda t: t[None],
        )
        return changes[int(rng.integers(len(changes)))](content)
    return ODD[int(rng.integers(len(ODD)))]


# ── kinds of files ────────────────────────────────────────────────────────────────────────────────────


def make_images(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    noise, exif = rng.integers(0, 256, (24, 32, 3), np.uint8), Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a bird"
    rgb = Image.fromarray(noise)
    deep, real = (
        Image.fromarray(noise[..., 0].astype(np.uint16) * 16),
        Image.fromarray(noise[..., 0].astype(np.float32)),
    )
    pictures: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "a.jpg": (rgb, {"exif": exif}),
        "progressive.jpg": (rgb, {"progressive": True}),
        "cmyk.jpg": (rgb.convert("CMYK"), {}),
        "a.png": (rgb, {"exif": exif}),
        "deep.png": (deep, {}),
        "clear.png": (rgb.convert("RGBA"), {}),
        "palette.png": (rgb.convert("P"), {}),
        "a.gif": (rgb, {"save_all": True, "append_images": [rgb.rotate(90)]}),
        "a.webp": (rgb, {"exif": exif}),
        "exact.webp": (rgb, {"lossless": True}),
        "a.bmp": (rgb, {}),
        "a.tif": (rgb, {"exif": exif}),
        "lzw.tif": (rgb, {"compression": "tiff_lzw"}),
        "jpeg.tif": (rgb, {"compression": "jpeg"}),
        "deep.tif": (deep, {"compression": "tiff_deflate"}),
        "real.tif": (real, {}),
        "fax.tif": (rgb.convert("1"), {"compression": "group4"}),
        "a.ppm": (rgb, {}),
        "a.pgm": (rgb.convert("L"), {}),
        "a.jp2": (rgb, {}),
        "a.avif": (rgb, {"exif": exif}),
        "a.tga": (rgb, {}),
    }
    for name, (image, options) in pictures.items():
        image.save(folder / name, **options)
    return [folder / name for name in pictures]


def read_image(folder: Path, path: Path) -> None:
    content = path.read_bytes()
    try:
        size_of(content, path.name)
    finally:
        image = decode(content, path.name)
    assert pixels_of(image).shape == (image.height, image.width, 3)


def _members() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    return {f"pictures/{c}/{i}.jpg": rng.bytes(300) for c in "abc" for i in range(4)} | {
        "pictures/list.txt": b"a 1\n" * 200
    }


def make_archives(folder: Path) -> list[Path]:
    for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(folder / f"{kind}.zip", "w", kind) as archive:
            for name, content in _members().items():
                archive.writestr(name, content)
    for suffix, mode, form in (
        ("tar", "w", tarfile.PAX_FORMAT),
        ("gnu.tar", "w", tarfile.GNU_FORMAT),
        ("tgz", "w:gz", tarfile.PAX_FORMAT),
        ("tar.bz2", "w:bz2", tarfile.PAX_FORMAT),
        ("tar.xz", "w:xz", tarfile.PAX_FORMAT),
    ):
        with tarfile.open(folder / f"a.{suffix}", mode, format=form) as archive:
            for name, content in _members().items():
                name = name.replace("list", "a_list_with_a_long_name_é_" * 6)
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return sorted(folder.iterdir())


def read_archive(folder: Path, path: Path) -> None:
    if path.suffix in (".tar", ".tgz"):
        files = list_archive(path)
        assert all(len(file.read()) <= path.stat().st_size * 1000 for file in files)
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").mkdir()
    shutil.copy(path, folder / "out")
    unpack(folder / "out" / path.name, "pictures", folder / "out", progress=False)


def listed(kind: str, lists: list[str]) -> Kind:
    """A data set with official lists, as a miniature that is complete."""
    name = kind.split()[0]

    def make(folder: Path) -> list[Path]:
        for constant, value in miniatures.COUNTS[name].items():
            setattr(miniatures.MODULES[name], constant, value)
        miniatures.write(kind, folder)
        return [folder / one for one in lists]

    def read(folder: Path, path: Path) -> None:
        data.check(name, folder)
        for split in ("train", "test"):
            data.load(name, split, folder)

    return Kind(make, read)


def make_models(folder: Path) -> list[Path]:
    for head in ("linear", "bier"):
        models.save(
            models.create("omniglot_cnn", 12, head=head), folder / f"{head}.safetensors", torch.float16
        )
    models.save(models.create("omniglot_cnn", 8, normalize=True, seed=1), folder / "other.safetensors")
    return sorted(folder.iterdir())


def read_model(folder: Path, path: Path) -> None:
    model = models.load(path)
    with torch.no_grad():
        model(torch.zeros(2, model.spec.channels, model.spec.image_size, model.spec.image_size))


def make_weights(folder: Path) -> list[Path]:
    state = {k: v.contiguous() for k, v in models.create("omniglot_cnn", None).backbone.state_dict().items()}
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, folder / "wrapped.pth"
    )
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, folder / "plain.safetensors")
    torch.save({"model": state, "args": {"lr": 0.1}}, folder / "inside.pth")
    return sorted(folder.iterdir())


def read_weights(folder: Path, path: Path) -> None:
    models.create("omniglot_cnn", None, weights=path)


def run_config(folder: Path, resume: bool) -> TrainConfig:
    return TrainConfig(
        method="triplet",
        loss="margin",
        sampler="smart",
        classes=8,
        batch_size=24,
        batches_per_epoch=2,
        epochs=2,
        embedding_dim=8,
        eval_every=0,
        device="cpu",
        progress=False,
        output=str(folder),
        resume=resume,
    )


def start_run(folder: Path, resume: bool) -> Run:
    run = Run(run_config(folder, resume), choose_device("cpu"), World())
    run.start()
    return run


def train_epoch(run: Run, steps: int | None = None) -> None:
    """What is left of the run's epoch, or its next `steps`."""
    run.plan_epoch()
    for batch, pixels in islice(run.remaining_batches(), steps):
        run.train_on(batch, pixels)


def make_checkpoint(folder: Path) -> list[Path]:
    """A run that stands in the middle of its second epoch."""
    run = start_run(folder, resume=False)
    train_epoch(run)
    run.end_epoch()
    train_epoch(run, steps=1)
    run.save()
    shutil.copy(folder / checkpoint.FILE, folder / "inside.pt")
    return [folder / checkpoint.FILE, folder / "inside.pt"]


def read_checkpoint(folder: Path, path: Path) -> None:
    """Resume, and train the step that is left."""
    if path.name == "inside.pt":
        shutil.copy(path, folder / checkpoint.FILE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = start_run(folder, resume=True)
        if run.epoch < 2:
            train_epoch(run)


def make_cache(folder: Path) -> list[Path]:
    files = []
    for mode in ("square", "short_side"):
        cached(_drawings(), 16, mode, folder, progress=False)
    for name in ("cache.json", "shapes.npy", "images.bin"):
        files += sorted(folder.rglob(name))
    return files


def _drawings() -> data.ImageDataset:
    return data.load("omniglot", "test", classes=2)


def read_cache(folder: Path, path: Path) -> None:
    """Whatever is damaged, the images are those of the data set, unless their bytes were changed in place."""
    for mode in ("square", "short_side"):
        images = cached(_drawings(), 16, mode, folder, progress=False).gather(range(40))
        pixels = images if mode == "square" else images.data
        same = pixels.sum() == _SUMS.setdefault(mode, pixels.sum())
        assert same or path.name == "images.bin", "the cache gives other images"


_SUMS: dict[str, Any] = {}  # filled by the first read, which is of files that nobody touched


def make_run(folder: Path) -> list[Path]:
    config = replace(run_config(folder, resume=False), eval_every=1, classes=30)
    fit(config)
    (folder / checkpoint.FILE).unlink()
    (folder / "model.safetensors").unlink()
    shutil.copytree(folder, folder / "twin")
    return [folder / "metrics.json", folder / "config.json"]


def read_run(folder: Path, path: Path) -> None:
    replies = [inspect_runs((folder, folder / "twin"))]
    replies.append(inspect_halves({"batch 20": folder, "batch 20, half rate": folder / "twin"}))
    assert all(isinstance(reply, Reply) for reply in replies)
    curve = read_curve(folder)
    if len(curve.epochs) % 2:  # drawing takes most of the time
        training_curves({"run": curve})


def make_course(folder: Path) -> list[Path]:
    figures.fingerprint = lambda name: "0" * 64  # reads all of the package's code, each time anew
    (folder / figures.HASHES).write_text(json.dumps(dict.fromkeys(figures.names(), "0" * 64)))
    for kind in ("png", "svg", "alt.txt"):
        (folder / f"overview.{kind}").write_text("x")
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# A\n"},
        {
            "cell_type": "code",
            "id": "b",
            "metadata": {"tags": ["exercise"]},
            "outputs": [],
            "execution_count": 1,
            "source": ['check("training.resumed", answer)'],
        },
    ]
    notebook = {"cells": cells, "metadata": {"dmlteach": {"key": "k"}}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "00_a.ipynb").write_text(json.dumps(notebook, indent=1))
    return [folder / figures.HASHES, folder / "00_a.ipynb"]


def read_course(folder: Path, path: Path) -> None:
    figures.is_current("overview", folder)
    if execute.is_current({"target": folder / "00_a.ipynb", "key": "k"}):
        site.without_kernel(folder / "00_a.ipynb", "links")


def make_progress(folder: Path) -> list[Path]:
    os.environ[progress.VARIABLE] = str(folder / "progress.json")
    for id in ("batches.one", "batches.two"):
        progress.add_try(id, "right")
        progress.add_hint(id, 2)
    return [folder / "progress.json"]


def read_progress(folder: Path, path: Path) -> None:
    records, note = progress.read()
    assert isinstance(note, str) and all(asdict(record) for record in records.values())
    progress.add_try("batches.three", "not yet")
    for aside in folder.glob("progress.damaged-*"):
        aside.unlink()


def make_sweep(folder: Path) -> list[Path]:
    """A file that asks for a sweep, its index, and a run beside it."""
    (folder / "sweep.yaml").write_text("methods: [triplet, nca]\nseeds: 0-1\nloss_options: {}\ndas: false\n")
    with Index(folder) as index:
        index.want(plan(read_file(folder / "sweep.yaml")))
        for _ in range(3):
            row = index.claim()
            assert row is not None
            index.ended(row.hash, Outcome("done", None, runs.metrics_of(0.5, row.config.get("seed", 0))))
    runs.a_run(folder / "run", 0.6)
    return [folder / name for name in (FILE, FILE, "sweep.yaml", "run/metrics.json", "run/config.json")]


def read_sweep(folder: Path, path: Path) -> None:
    if path.suffix == ".yaml":
        plan(read_file(path))
        return
    if path.name == FILE:
        with Index(folder) as index:
            Overview(index.rows(), 1).line()
            index.release_abandoned()
    found, _ = compare.read([folder, folder / "run"])
    for table in compare.tables(found):
        told = [compare.difference(one, table.settings[0]).in_words(table.measure) for one in table.settings]
        assert table.title() and told and table.grid() is not False


SOP = "Stanford_Online_Products"
KINDS: dict[str, Kind] = {
    "images": Kind(make_images, read_image),
    "archives": Kind(make_archives, read_archive),
    "lists of sop": listed("sop", [f"{SOP}/Ebay_train.txt", f"{SOP}/Ebay_test.txt"]),
    "lists of inshop": listed("inshop", ["list_eval_partition.txt"]),
    "lists of domainnet": listed("domainnet", ["real_train.txt", "real_test.txt", "sketch_test.txt"]),
    "lists of cub200": listed(
        "cub200", [f"CUB_200_2011/{name}.txt" for name in ("images", "image_class_labels", "classes")]
    ),
    "annotations of cars196": listed("cars196", ["cars_annos.mat"]),
    "annotations of cars196 (devkit)": listed(
        "cars196 devkit",
        ["devkit/cars_meta.mat", "devkit/cars_train_annos.mat", "cars_test_annos_withlabels.mat"],
    ),
    "model files": Kind(make_models, read_model),
    "weights": Kind(make_weights, read_weights),
    "checkpoints": Kind(make_checkpoint, read_checkpoint),
    "caches": Kind(make_cache, read_cache),
    "metrics and settings of runs": Kind(make_run, read_run),
    "hashes and notebooks": Kind(make_course, read_course),
    "progress": Kind(make_progress, read_progress),
    "sweeps": Kind(make_sweep, read_sweep),
}
SHARES = {
    "images": 5,
    "archives": 3,
    "lists of cub200": 0.5,
    "checkpoints": 1,
    "weights": 1,
}  # of the cases; others 1


# ── one case after the other ──────────────────────────────────────────────────────────────────────────


def run_kind(name: str, seed: int, numbers: Iterator[int] | range, home: Path) -> dict[str, Any]:
    """Damage and read files of one kind; what is neither read nor refused is printed."""
    kind, counts, slowest = KINDS[name], {"read": 0, "refused": 0, "failed": 0}, 0.0
    whole, work = home / "whole", home / "work"
    whole.mkdir(parents=True)
    kind.make(whole)
    shutil.move(whole, work)  # files may name their folder
    files = kind.make(shutil.rmtree(work) or work.mkdir() or work)
    shutil.copytree(work, whole)
    for path in files:
        kind.read(work, path)  # that nobody touched: must be read
    for number in numbers:
        restore(whole, work)
        rng = np.random.default_rng([seed, number])
        path = files[number % len(files)]
        hurt(path, rng)
        print(json.dumps({"case": [name, seed, number]}), flush=True)
        started = time.process_time()
        counts[one_case(kind, name, seed, number, work, path)] += 1
        slowest = max(slowest, time.process_time() - started)
    peak = peak_memory() or 0  # not getrusage's, which begins with what the process that started this one had
    return {"kind": name, **counts, "slowest": round(slowest, 2), "peak_gb": round(peak / 1e9, 2)}


def hurt(path: Path, rng: Rng) -> None:
    """By bytes; or, of what torch saved, by values, since a zip file notices most changed bytes."""
    if path.name in ("inside.pt", "inside.pth"):
        content = torch.load(path, weights_only=True)
        for _ in range(1 + int(rng.random() < 0.3)):
            content = damage_inside(content, rng)
        torch.save(content, path)
    else:
        damage(path, rng)


def restore(whole: Path, work: Path) -> None:
    """Put back what was damaged, and take away what reading it left."""
    here = {p.relative_to(work) for p in work.rglob("*") if p.is_file()}
    there = {p.relative_to(whole) for p in whole.rglob("*") if p.is_file()}
    for name in here - there:
        (work / name).unlink()
    for name in there:
        kept, used = whole / name, work / name
        if name not in here or _facts(kept) != _facts(used):
            used.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(kept, used)


def _facts(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns


def one_case(kind: Kind, name: str, seed: int, number: int, work: Path, path: Path) -> str:
    def too_slow(*_: Any) -> None:
        raise TimeoutError(f"more than {MOST_SECONDS} s of CPU")

    before = signal.signal(signal.SIGPROF, too_slow)
    try:
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)  # of this process, however busy the computer is
        faulthandler.dump_traceback_later(30 * MOST_SECONDS, exit=True, file=sys.__stderr__)
        kind.read(work, path)
        return "read"
    except DMLTeachError as error:
        seen: BaseException | None = error
        while seen is not None:  # what ran out of memory is not refused, but too large
            out_of_memory = isinstance(seen, MemoryError) or "can't allocate memory" in str(seen)
            if isinstance(seen, TimeoutError) or (out_of_memory and name not in ASK_FIRST):
                break
            seen = seen.__cause__ or seen.__context__
        if seen is None and str(error).strip():
            return "refused"
        _tell(name, seed, number, path)
    except BaseException:
        _tell(name, seed, number, path)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        faulthandler.cancel_dump_traceback_later()
    return "failed"


def _tell(name: str, seed: int, number: int, path: Path) -> None:
    last = traceback.format_exc(limit=-4)
    print(json.dumps({"failed": [name, seed, number], "file": path.name, "error": last}), flush=True)


def main() -> None:
    seed, count, home = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    names = sys.argv[4:] or list(KINDS)
    torch.set_num_threads(1)
    os.environ["DMLTEACH_CACHE"] = str(home / "cache")
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    shares = {name: SHARES.get(name, 1) for name in names}
    for name in names:
        cases = max(1, round(count * shares[name] / sum(shares.values())))
        result = run_kind(name, seed, range(cases), home / name.replace(" ", "_"))
        print(json.dumps({"result": result}), flush=True)


if __name__ == "__main__":
    main()

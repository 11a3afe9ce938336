import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dmlteach.data import cache as cache_module
from dmlteach.data import cached, load
from dmlteach.data.cache import resize
from dmlteach.errors import DMLTeachError


@pytest.fixture
def drawings():
    return load("omniglot", "test", classes=3)


@pytest.fixture
def photos(tmp_path):
    """Five classes of three pictures each, of different shapes."""
    rng = np.random.default_rng(0)
    for name in "abcde":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            height, width = rng.integers(20, 60, 2)
            pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


def finished_caches(folder: Path) -> list[Path]:
    return [f for f in folder.iterdir() if ".building-" not in f.name]


def test_cached_drawings_are_the_resized_drawings(drawings, tmp_path):
    images = cached(drawings, 28, folder=tmp_path)
    assert len(images) == 60 and torch.equal(images.labels, drawings.labels)
    rows = [59, 0, 0, 31]
    pillow = [
        Image.fromarray(drawings[i][0][0].numpy()).resize((28, 28), Image.Resampling.BILINEAR) for i in rows
    ]
    expected = torch.stack([torch.from_numpy(np.array(p)) for p in pillow])[:, None]
    found = images.gather(rows)
    assert found.dtype == torch.uint8 and found.shape == (4, 1, 28, 28)
    assert (found.int() - expected.int()).abs().max() <= 1  # two ways to round


def test_squares_squash_photographs(photos, tmp_path):
    dataset = load("folder", "train", photos)
    images = cached(dataset, 24, folder=tmp_path)
    for i in range(len(dataset)):
        assert torch.equal(images.gather([i])[0], resize(dataset[i][0][None], 24, "square")[0])


def test_short_side_keeps_shapes_and_does_not_enlarge(photos, tmp_path):
    dataset = load("folder", "train", photos)
    packed = cached(dataset, 30, "short_side", folder=tmp_path).gather(range(len(dataset)))
    for i, (offset, (height, width)) in enumerate(zip(packed.offsets, packed.sizes.tolist(), strict=True)):
        original = dataset[i][0]
        assert min(height, width) == min(30, *original.shape[1:])
        assert width / height == pytest.approx(original.shape[2] / original.shape[1], rel=0.05)
        pixels = packed.data[offset : offset + 3 * height * width].view(height, width, 3).permute(2, 0, 1)
        assert torch.equal(pixels, resize(original[None], 30, "short_side")[0])


def test_a_second_use_reads_the_first_build(drawings, tmp_path, monkeypatch):
    first = cached(drawings, 28, folder=tmp_path).gather(range(60))
    monkeypatch.setattr(cache_module, "_build", lambda *a: pytest.fail("built again"))
    assert torch.equal(
        cached(load("omniglot", "test", classes=3), 28, folder=tmp_path).gather(range(60)), first
    )


def test_train_fit_and_val_share_one_cache(photos, tmp_path):
    for i in range(4):  # enough classes for fit and val
        shutil.copytree(photos / "a", photos / f"more{i}")
    splits = {split: load("folder", split, photos) for split in ("train", "fit", "val")}
    images = {split: cached(dataset, 16, folder=tmp_path) for split, dataset in splits.items()}
    assert len(finished_caches(tmp_path)) == 1 + 1  # and the photos themselves
    for split, dataset in splits.items():
        alone = torch.cat([resize(dataset[i][0][None], 16, "square") for i in range(len(dataset))])
        assert torch.equal(images[split].gather(range(len(dataset))), alone)


def test_size_mode_and_contents_have_caches_of_their_own(drawings, tmp_path):
    cached(drawings, 28, folder=tmp_path)
    cached(drawings, 20, folder=tmp_path)
    cached(drawings, 28, "short_side", folder=tmp_path)
    cached(load("omniglot", "train", classes=3), 28, folder=tmp_path)
    assert len(finished_caches(tmp_path)) == 4


def test_a_changed_picture_is_seen(photos, tmp_path):
    dataset = load("folder", "train", photos)
    before = cached(dataset, 16, folder=tmp_path).gather(range(len(dataset)))
    Image.new("RGB", (33, 44), "red").save(dataset.source.files[0].path)
    after = cached(load("folder", "train", photos), 16, folder=tmp_path).gather(range(len(dataset)))
    assert after[0, 0].eq(255).all() and after[0, 1:].eq(0).all()
    assert torch.equal(after[1:], before[1:])


def test_a_damaged_cache_is_built_again(drawings, tmp_path):
    good = cached(drawings, 28, folder=tmp_path).gather(range(60))
    (folder,) = finished_caches(tmp_path)
    with open(folder / "images.bin", "r+b") as file:
        file.truncate(1000)
    assert torch.equal(cached(drawings, 28, folder=tmp_path).gather(range(60)), good)


def flipped(content: bytes) -> bytes:
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


def parts(pixels) -> list[torch.Tensor]:
    """The tensors of a gathered batch."""
    return [pixels] if isinstance(pixels, torch.Tensor) else [pixels.data, pixels.offsets, pixels.sizes]


DAMAGE = {
    "no shapes": ("shapes.npy", lambda content: b""),
    "shapes cut off": ("shapes.npy", lambda content: content[:-8]),
    "shapes with one bit changed": ("shapes.npy", flipped),
    "shapes that announce more": ("shapes.npy", lambda content: content.replace(b", 2), }", b"9, 2), }")),
    "shapes of another order": ("shapes.npy", lambda content: content.replace(b"False", b"True ")),
    "shapes that are no array": ("shapes.npy", lambda content: b"PK\x03\x04" + content),
    "facts that are a list": ("cache.json", lambda content: b"[1, 2]"),
    "facts that are no JSON": ("cache.json", lambda content: b"[" * 100_000),
    "facts of another size": ("cache.json", lambda content: content.replace(b'"bytes": ', b'"bytes": 1')),
    "images and facts of another size": ("images.bin", lambda content: content + b"\0"),
}


@pytest.mark.parametrize("mode", ["square", "short_side"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_whatever_is_damaged_in_a_cache_it_is_built_again(photos, tmp_path, mode, damage):
    dataset = load("folder", "train", photos)
    home = tmp_path / "cache"
    good = cached(dataset, 16, mode, home).gather(range(len(dataset)))
    (folder,) = finished_caches(home)
    name, change = DAMAGE[damage]
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(change(content))
    again = cached(dataset, 16, mode, home).gather(range(len(dataset)))
    assert all(torch.equal(one, other) for one, other in zip(parts(good), parts(again), strict=True))
    assert (folder / name).read_bytes() == content


def test_a_cache_made_before_it_had_a_checksum_is_used(drawings, tmp_path, monkeypatch):
    good = cached(drawings, 28, folder=tmp_path).gather(range(60))
    (folder,) = finished_caches(tmp_path)
    facts = json.loads((folder / "cache.json").read_text())
    del facts["shapes"]
    (folder / "cache.json").write_text(json.dumps(facts))
    monkeypatch.setattr(cache_module, "_build", lambda *a: pytest.fail("built again"))
    assert torch.equal(cached(drawings, 28, folder=tmp_path).gather(range(60)), good)


def test_a_truncated_picture_is_named_and_leaves_nothing_behind(photos, tmp_path):
    broken = photos / "c" / "1.png"
    broken.write_bytes(broken.read_bytes()[:200])
    dataset = load(
        "folder", "train" if "c" in load("folder", "train", photos).class_names else "test", photos
    )
    with pytest.raises(DMLTeachError, match=f"{broken}.*Replace the file, or remove it"):
        cached(dataset, 16, folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_full_disk_is_told_before_building(drawings, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DMLTeachError, match=r"needs 0\.0 MB, and .* has 0\.0 MB free"):
        cached(drawings, 28, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_clear_error(drawings, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DMLTeachError, match="cannot be written .*DMLTEACH_CACHE"):
        cached(drawings, 28, folder=tmp_path / "file")


def test_the_disk_need_is_printed_and_can_be_silenced(drawings, tmp_path, capsys):
    cached(drawings, 100, folder=tmp_path)
    assert "60 images of omniglot: 0.6 MB in" in capsys.readouterr().err
    cached(drawings, 99, folder=tmp_path, progress=False)
    assert capsys.readouterr().err == ""


def test_the_environment_names_the_folder(drawings, tmp_path, monkeypatch):
    monkeypatch.setenv("DMLTEACH_CACHE", str(tmp_path / "here"))
    cached(drawings, 28)
    assert len(finished_caches(tmp_path / "here")) == 1


def test_unknown_modes_and_sizes_are_refused(drawings):
    with pytest.raises(DMLTeachError, match="unknown cache mode 'round'"):
        cached(drawings, 28, "round")
    for size in (0, -1, 28.0, True):
        with pytest.raises(DMLTeachError, match="number of pixels|must be a whole number"):
            cached(drawings, size)


# ---- other processes -------------------------------------------------------------------------

BUILD = """
import pathlib, sys, time
from dmlteach.data import cached, load, omniglot

folder = pathlib.Path(sys.argv[1])
read, calls = omniglot.Drawings.read, []

def read_and_wait(self, *args):  # the first chunk at once, the others when told
    while calls and not (folder / "go").exists():
        time.sleep(0.02)
    calls.append(1)
    return read(self, *args)

omniglot.Drawings.read = read_and_wait
images = cached(load("omniglot", "test", classes=60), 28, folder=folder / "cache", progress=False)
print(int(images.gather(range(1200)).long().sum()))
"""


def start_builder(folder: Path) -> subprocess.Popen:
    """Builds in folder/cache; waits in the middle until folder/go exists."""
    return subprocess.Popen([sys.executable, "-c", BUILD, str(folder)], stdout=subprocess.PIPE, text=True)


def wait_for_half_built(folder: Path, count: int, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while sum(f.stat().st_size > 0 for f in folder.glob("cache/*.building-*/images.bin")) < count:
        assert time.monotonic() < end, "no builder got to the middle"
        time.sleep(0.02)


def test_two_builders_at_once_both_get_whole_pictures(tmp_path):
    builders = [start_builder(tmp_path) for _ in range(2)]
    wait_for_half_built(tmp_path, 2)
    (tmp_path / "go").touch()
    sums = [int(b.communicate(timeout=600)[0]) for b in builders]
    alone = cached(load("omniglot", "test", classes=60), 28, folder=tmp_path / "alone").gather(range(1200))
    assert sums == [int(alone.long().sum())] * 2
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_killed_build_is_not_taken_as_complete(tmp_path):
    builder = start_builder(tmp_path)
    wait_for_half_built(tmp_path, 1)
    os.kill(builder.pid, signal.SIGKILL)
    builder.communicate()
    (left,) = (tmp_path / "cache").iterdir()
    dataset = load("omniglot", "test", classes=60)
    images = cached(dataset, 28, folder=tmp_path / "cache")
    expected = resize(torch.stack([dataset[i][0] for i in range(0, 1200, 100)]), 28, "square")
    assert torch.equal(images.gather(range(0, 1200, 100)), expected)

    long_ago = time.time() - 2 * 24 * 3600
    for path in [left, *left.iterdir()]:
        os.utime(path, (long_ago, long_ago))
    cached(dataset, 20, folder=tmp_path / "cache")
    assert not left.exists()  # and what it left behind is removed in time

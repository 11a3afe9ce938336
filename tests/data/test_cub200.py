"""CUB-200-2011 in its official layout: a complete miniature of it, and the real pictures."""

import gzip
import io
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from dmlteach.data import cached, check, load
from dmlteach.errors import DMLTeachError

COUNTS = [59] * 64 + [58] * 36 + [60] * 24 + [59] * 76  # 5,864 pictures of classes 1-100, 5,924 of 101-200


@pytest.fixture(scope="session")
def miniature(tmp_path_factory) -> Path:
    """All 11,788 pictures, each one pixel; the folder that holds CUB_200_2011/."""
    root = tmp_path_factory.mktemp("cub")
    top = root / "CUB_200_2011"
    pixel = io.BytesIO()
    Image.new("RGB", (2, 1), "red").save(pixel, "PNG")
    names, classes = [], []
    for number, count in enumerate(COUNTS, 1):
        folder = f"{number:03}.Some_Bird_{number}"
        (top / "images" / folder).mkdir(parents=True)
        for i in range(count):
            names.append(f"{folder}/Some_Bird_{i:04}.jpg")
            classes.append(number)
            (top / "images" / names[-1]).write_bytes(pixel.getvalue())
    write_table(top / "images.txt", names)
    write_table(top / "image_class_labels.txt", classes)
    write_table(top / "classes.txt", [f"{n:03}.Some_Bird_{n}" for n in range(1, 201)])
    return root


def write_table(path: Path, values: list) -> None:
    path.write_text("".join(f"{i} {value}\n" for i, value in enumerate(values, 1)))


@pytest.fixture
def without(miniature):
    """Take files away, as by an interrupted copy, and put them back afterwards."""
    moved = []

    def take_away(*names: str) -> None:
        for name in names:
            source = miniature / "CUB_200_2011" / name
            away = source.with_name(source.name + ".away")
            source.rename(away)
            moved.append((away, source))

    yield take_away
    for away, source in moved:
        shutil.move(away, source)


@pytest.fixture(scope="session")
def archive(miniature, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "CUB_200_2011.tar"
    with tarfile.open(path, "w") as file:
        file.add(miniature / "CUB_200_2011", "CUB_200_2011")
    return path


def compress(archive: Path, path: Path) -> Path:
    path.write_bytes(gzip.compress(archive.read_bytes(), 1))
    return path


def test_the_first_100_classes_train_and_the_last_100_test(miniature):
    train, test = load("cub200", "train", miniature), load("cub200", "test", miniature)
    assert (len(train), train.num_classes, len(test), test.num_classes) == (5864, 100, 5924, 100)
    assert train.class_names[0] == "Some Bird 1" and test.class_names[0] == "Some Bird 101"
    assert (
        train.labels.bincount().tolist() == COUNTS[:100] and test.labels.bincount().tolist() == COUNTS[100:]
    )
    assert not train.shareable
    fit, val = load("cub200", "fit", miniature), load("cub200", "val", miniature)
    assert (fit.num_classes, val.num_classes) == (80, 20)


def test_every_usual_root_is_understood(miniature, archive, tmp_path):
    compressed = compress(archive, tmp_path / "CUB_200_2011.tgz")
    places = [miniature, miniature / "CUB_200_2011", archive, archive.parent, compressed, str(tmp_path)]
    names = [[f.name.split("images/")[1] for f in load("cub200", "test", p).source.files] for p in places]
    assert all(n == names[0] for n in names)


def test_pictures_are_read_from_inside_an_archive(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("DMLTEACH_CACHE", str(tmp_path / "cache"))
    for place in (archive, compress(archive, tmp_path / "CUB_200_2011.tgz")):
        dataset = load("cub200", "test", place, classes=2)
        squares = cached(dataset, 4, progress=False).gather([0, len(dataset) - 1])
        assert (squares[:, 0] == 255).all() and (squares[:, 1:] == 0).all()


def test_an_archive_is_unpacked_once_and_only_as_a_whole(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("DMLTEACH_CACHE", str(tmp_path / "cache"))
    whole = compress(archive, tmp_path / "CUB_200_2011.tgz").read_bytes()
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DMLTeachError, match="cut.tgz cannot be unpacked"):
        load("cub200", "train", cut)
    assert list((tmp_path / "cache").iterdir()) == []
    load("cub200", "train", tmp_path / "CUB_200_2011.tgz")
    load("cub200", "test", tmp_path / "CUB_200_2011.tgz")
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_cut_off_archive_is_one_clear_error(archive, tmp_path):
    content = archive.read_bytes()
    for length in (100, len(content) // 2, len(content) // 2 + 700):
        (tmp_path / "cut.tar").write_bytes(content[:length])
        with pytest.raises(DMLTeachError, match=r"cut\.tar .*|missing"):
            load("cub200", "train", tmp_path / "cut.tar")


def test_an_archive_cannot_write_outside_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DMLTEACH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "inner").mkdir()
    with tarfile.open(tmp_path / "evil.tar", "w") as file:
        for name in ("../../escaped.txt", str(tmp_path / "absolute.txt"), "CUB_200_2011/images.txt"):
            info = tarfile.TarInfo(name)
            info.size = 4
            file.addfile(info, io.BytesIO(b"evil"))
    evil = compress(tmp_path / "evil.tar", tmp_path / "inner" / "evil.tgz")
    with pytest.raises(DMLTeachError):
        load("cub200", "train", evil)
    names = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert not names & {"escaped.txt", "absolute.txt", "images.txt"}


def test_check_counts_images_and_names_what_is_missing(miniature, without):
    assert check("cub200", miniature).ok
    gone = [f"images/001.Some_Bird_1/Some_Bird_{i:04}.jpg" for i in range(7)]
    without(*gone)
    report = check("cub200", miniature)
    assert not report.ok
    assert "7 images missing or empty: images/001.Some_Bird_1/Some_Bird_0000.jpg" in str(report)
    assert "and 2 more" in str(report) and "train: 5,857 of 5,864 images" in str(report)


def test_loading_with_wrong_counts_is_one_clear_error(miniature, without):
    without("images/150.Some_Bird_150/Some_Bird_0003.jpg")
    with pytest.raises(DMLTeachError, match=r"150\.Some_Bird_150/Some_Bird_0003\.jpg"):
        load("cub200", "test", miniature)


def test_a_missing_list_is_named(miniature, without):
    without("image_class_labels.txt")
    with pytest.raises(DMLTeachError, match=r"image_class_labels\.txt is missing"):
        load("cub200", "train", miniature)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("classes.txt", "1 only one\n", r"classes\.txt lists 1 classes, expected 1 … 200"),
        ("classes.txt", "one two\n", r"classes\.txt .* is damaged"),
        ("image_class_labels.txt", "1 bird\n", r"image_class_labels\.txt .* is damaged"),
        ("image_class_labels.txt", "1 ²\n", r"image_class_labels\.txt .* is damaged"),
        ("images.txt", "9" * 5000 + " a.jpg\n", r"images\.txt .* is damaged"),
        ("image_class_labels.txt", "1 1\n", "list different images"),
    ],
)
def test_a_damaged_list_is_named(miniature, without, name, content, message):
    without(name)
    path = miniature / "CUB_200_2011" / name
    path.write_text(content)  # put back by `without`
    with pytest.raises(DMLTeachError, match=message):
        load("cub200", "train", miniature)


@pytest.mark.parametrize("root", [None, "nowhere", "empty", "empty/note.txt"])
def test_a_missing_root_says_what_is_expected_and_where_to_get_it(tmp_path, root):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "note.txt").write_text("no archive")
    with pytest.raises(DMLTeachError) as error:
        load("cub200", "train", root and tmp_path / root)
    expected = ["archive"] if root == "empty/note.txt" else ["CUB_200_2011/images.txt", "data.caltech.edu"]
    assert all(text in str(error.value) for text in expected)


def test_the_real_pictures_are_complete_and_decoded(shared, tmp_path):
    archive = shared / "data" / "cub200_2011_small.tar"
    assert check("cub200", archive).ok
    dataset = load("cub200", "train", archive, classes=[0, 99])
    assert dataset.class_names == ["Black footed Albatross", "Brown Pelican"]
    image, label = dataset[0]
    assert (tuple(image.shape), label) == ((3, 160, 239), 0)  # 500 × 335 in the original
    assert cached(dataset, 32, folder=tmp_path, progress=False).gather(range(len(dataset))).float().std() > 20

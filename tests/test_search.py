"""Searching own pictures: the nearest by the model's own measure, never the query's own file."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from dmlteach import models, search
from dmlteach.data import load, pictures
from dmlteach.embeddings import embed
from dmlteach.errors import DMLTeachError

CLASSES, EACH = 4, 5


@pytest.fixture(scope="module")
def drawings(tmp_path_factory) -> Path:
    """Characters as black on white pictures, a folder for each."""
    folder = tmp_path_factory.mktemp("drawings")
    characters = load("omniglot", "test", classes=CLASSES)
    for row in range(len(characters)):
        image, label = characters[row]
        if row % 20 < EACH:
            path = folder / f"sign {label}" / f"{row % 20}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(255 - image[0].numpy()).save(path)
    return folder


def model(normalize: bool) -> models.Model:
    return models.create("omniglot_cnn", 8, normalize=normalize)


@pytest.mark.parametrize("on_sphere", [True, False], ids=["cosine", "distance"])
def test_neighbours_are_those_of_a_search_by_hand(drawings, on_sphere):
    net = model(on_sphere)
    query = drawings / "sign 2" / "3.png"
    found = search.find(net, drawings, [query], 6, "cpu")
    gallery = pictures.load(drawings, 1)
    z = embed(net, gallery, "cpu").double()
    own = gallery.paths.index("sign 2/3.png")
    if on_sphere:
        scores = torch.nn.functional.cosine_similarity(z[own][None], z)
        scores[own] = -2
        expected = scores.sort(descending=True)
    else:
        scores = (z - z[own]).norm(dim=1)
        scores[own] = torch.inf
        expected = scores.sort()
    assert found.measure == ("cosine" if on_sphere else "distance")
    assert found.rows[0].tolist() == expected.indices[:6].tolist()
    torch.testing.assert_close(found.scores[0], expected.values[:6], rtol=0, atol=1e-5)


def test_a_trained_network_finds_the_same_character(drawings):
    queries = [drawings / f"sign {label}" / "0.png" for label in range(CLASSES)]
    found = search.find(models.pretrained("sst"), drawings, queries, 1, "cpu")
    assert [found.is_right(q, int(rows[0])) for q, rows in enumerate(found.rows)] == [True] * CLASSES


def test_a_query_finds_its_copy_at_distance_zero_but_never_itself(drawings, tmp_path):
    gallery = tmp_path / "gallery"
    shutil.copytree(drawings, gallery)
    shutil.copyfile(gallery / "sign 0" / "0.png", gallery / "copy.png")
    linked = tmp_path / "link.png"
    linked.symlink_to(gallery / "sign 0" / "0.png")
    found = search.find(model(False), gallery, [gallery / "sign 0" / "0.png", linked], 100, "cpu")
    for rows, scores in zip(found.rows, found.scores, strict=True):
        names = [found.gallery.paths[row] for row in rows]
        assert "sign 0/0.png" not in names and len(names) == CLASSES * EACH
        assert names[0] == "copy.png" and scores[0] < 1e-4


def test_a_class_is_known_in_the_gallery_or_by_a_folder_of_the_same_name(drawings, tmp_path):
    for name in ("new/x.png", "sign 1/y.png"):
        (tmp_path / name).parent.mkdir()
        shutil.copyfile(drawings / "sign 1" / "0.png", tmp_path / name)
    asked = [drawings / "sign 3" / "0.png", tmp_path / "new" / "x.png", tmp_path / "sign 1" / "y.png"]
    found = search.find(model(True), drawings, asked, 3, "cpu")
    assert [found.class_name(label) for label in found.classes] == ["sign 3", "", "sign 1"]
    assert [found.is_right(1, int(row)) for row in found.rows[1]] == [None] * 3
    first = int(found.rows[2][0])  # the picture it was copied from
    assert found.gallery.paths[first] == "sign 1/0.png" and found.is_right(2, first) is True


def test_more_neighbours_than_pictures_are_all_pictures(drawings, tmp_path):
    outside = shutil.copyfile(drawings / "sign 1" / "0.png", tmp_path / "1.png")
    found = search.find(model(True), drawings, [outside, drawings / "sign 1" / "0.png"], 1000, "cpu")
    assert [len(rows) for rows in found.rows] == [CLASSES * EACH, CLASSES * EACH - 1]


def test_queries_leave_nothing_in_the_cache(drawings, monkeypatch, tmp_path):
    monkeypatch.setenv("DMLTEACH_CACHE", str(tmp_path))
    search.find(model(True), drawings, [drawings / "sign 0" / "0.png"], 1, "cpu")
    kept = len(list(tmp_path.iterdir()))
    search.find(model(True), drawings, [drawings / "sign 1" / "1.png"], 1, "cpu")
    assert len(list(tmp_path.iterdir())) == kept == 1


@pytest.mark.parametrize("place", ["gallery", "query"])
def test_a_damaged_picture_is_one_error_that_names_it(drawings, tmp_path, place):
    gallery = tmp_path / "gallery"
    shutil.copytree(drawings, gallery)
    damaged = (gallery if place == "gallery" else tmp_path) / "damaged.png"
    damaged.write_bytes((gallery / "sign 0" / "0.png").read_bytes()[:80])
    query = damaged if place == "query" else gallery / "sign 0" / "0.png"
    with pytest.raises(DMLTeachError, match="Replace the file, or remove it") as error:
        search.find(model(True), gallery, [query], 1, "cpu")
    assert str(damaged) in str(error.value)


def test_a_gallery_of_the_query_alone_is_one_error(drawings, tmp_path):
    only = shutil.copyfile(drawings / "sign 0" / "0.png", tmp_path / "1.png")
    with pytest.raises(DMLTeachError, match="no image but the query"):
        search.find(model(True), tmp_path, [only], 1, "cpu")
    with pytest.raises(DMLTeachError, match="choose 1 or more"):
        search.find(model(True), drawings, [only], 0, "cpu")


@pytest.mark.parametrize("on_sphere", [True, False], ids=["cosine", "distance"])
def test_a_collapsed_network_finds_everything_alike_and_the_table_says_so(drawings, on_sphere):
    net = model(on_sphere)
    for layer in net.head.modules():
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.ones_(layer.bias)
    query = [drawings / "sign 2" / "3.png"]
    table = search.table(search.find(net, drawings, query, 3, "cpu"))
    assert table.startswith(f"All {CLASSES * EACH + 1} images have the same embedding")
    assert "same embedding" not in search.table(search.find(model(on_sphere), drawings, query, 3, "cpu"))


def test_a_network_of_nan_is_one_sentence_and_no_ranking(drawings):
    net = model(True)
    torch.nn.init.constant_(next(net.head.parameters()), torch.nan)
    with pytest.raises(DMLTeachError, match="1 of 1 embeddings are not finite"):
        search.find(net, drawings, [drawings / "sign 2" / "3.png"], 3, "cpu")


def test_the_table_has_a_line_for_each_neighbour(drawings):
    found = search.find(model(True), drawings, [drawings / "sign 2" / "0.png"], 3, "cpu")
    query, heading, *lines = search.table(found).splitlines()
    assert query.endswith("0.png  (class sign 2)")
    assert heading.split() == ["cosine", "class", "image"]
    for rank, (line, row, score) in enumerate(zip(lines, found.rows[0], found.scores[0], strict=True), 1):
        mark = "right" if found.is_right(0, int(row)) else "wrong"
        path = found.gallery.paths[int(row)]
        assert " ".join(line.split()) == f"{rank} {score:.4f} {mark} {path.split('/')[0]} {path}"
        assert line.index(path) == heading.index("image")


def test_names_that_are_hard_to_print_stay_on_one_line(drawings, tmp_path):
    for name in ("line\nbreak.png", "wide 日本.png", os.fsdecode(b"no unicode \xff.png")):
        shutil.copyfile(drawings / "sign 0" / "0.png", tmp_path / name)
    found = search.find(model(True), tmp_path, [drawings / "sign 0" / "1.png"], 9, "cpu")
    table = search.table(found)
    table.encode()
    assert len(table.splitlines()) == 2 + 3

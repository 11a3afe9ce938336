"""Embeddings as a file: what is read back is what was embedded, with paths and classes."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from dmlteach import embeddings
from dmlteach.data import load, pictures
from dmlteach.errors import DMLTeachError


@pytest.fixture
def images(tmp_path):
    for name in ("b/1.png", "b/2 Ä.png", "a/1.png", "loose.png"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 5), "red").save(path)
    return pictures.load(tmp_path / "pictures")


PATHS = ["a/1.png", "b/1.png", "b/2 Ä.png", "loose.png"]
Z = torch.arange(12.0).view(4, 3)


def test_an_npz_holds_embeddings_paths_and_classes(images, tmp_path):
    file = tmp_path / "new" / "z.npz"
    embeddings.write(file, Z, images)
    assert list(file.parent.iterdir()) == [file]
    with np.load(file) as stored:  # pickled objects would be refused
        found = dict(stored)
    assert found["embeddings"].dtype == np.float32 and np.array_equal(found["embeddings"], Z.numpy())
    assert found["paths"].tolist() == PATHS
    assert found["labels"].tolist() == [0, 1, 1, -1]
    assert found["class_names"].tolist() == ["a", "b"]


def test_what_there_is_not_is_left_out(tmp_path):
    Image.new("RGB", (6, 5), "red").save(tmp_path / "1.png")
    embeddings.write(tmp_path / "flat.npz", Z[:1], pictures.load(tmp_path))
    assert set(np.load(tmp_path / "flat.npz")) == {"embeddings", "paths"}
    drawn = load("omniglot", "test", classes=1)
    embeddings.write(tmp_path / "drawn.npz", Z[:1].expand(len(drawn), 3), drawn)
    assert set(np.load(tmp_path / "drawn.npz")) == {"embeddings", "labels", "class_names"}


def test_a_parquet_table_has_a_row_for_each_image(images, tmp_path):
    file = tmp_path / "new" / "z.parquet"
    embeddings.write(file, Z, images)
    assert list(file.parent.iterdir()) == [file]
    table = pd.read_parquet(file)
    assert list(table.columns) == ["path", "label", "class", "embedding"]
    assert table["path"].tolist() == PATHS
    assert table["label"].tolist() == [0, 1, 1, -1]
    assert table["class"].tolist()[:3] == ["a", "b", "b"] and pd.isna(table["class"][3])
    stacked = np.stack(table["embedding"])
    assert stacked.dtype == np.float32 and np.array_equal(stacked, Z.numpy())


def test_a_missing_package_and_an_unknown_ending_are_one_error_with_the_cure(images, tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "find_spec", lambda name: None)
    with pytest.raises(DMLTeachError, match=r"needs pyarrow: pip install 'dmlteach\[parquet\]'"):
        embeddings.write(tmp_path / "z.parquet", Z, images)
    with pytest.raises(DMLTeachError, match=r"\.npz or \.parquet, not as 'z.csv'"):
        embeddings.check_file("z.csv")
    assert not (tmp_path / "z.parquet").exists()

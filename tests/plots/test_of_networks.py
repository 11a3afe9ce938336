"""Figures of networks on a data set: what they say is what is there, for drawings and photographs alike."""

import numpy as np
import pytest
import torch
from PIL import Image

from dmlteach import data
from dmlteach.metrics import recall_at_k
from dmlteach.plots import of_networks


@pytest.fixture
def images(tmp_path):
    """A data set of drawings, or of photographs in a folder, with so many classes."""

    def load(channels: int, classes: int = 10, of_each: int = 5):
        if channels == 1:
            return data.load("omniglot", "test", classes=classes)
        generator = np.random.default_rng(0)
        for name in "abcdefghijklmnopqrst"[: 2 * classes]:
            (tmp_path / name).mkdir()
            for i in range(of_each):
                pixels = generator.integers(0, 255, (20, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
        return data.load("folder", "train", tmp_path, test_fraction=0.5)

    return load


def embeddings(labels, noise: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.eye(16)[labels] + noise * torch.randn(len(labels), 16, generator=generator)


@pytest.mark.parametrize("channels", [1, 3])
def test_networks_stand_side_by_side_with_their_recall_among_all_classes(channels, images):
    shown = images(channels)
    z = {"good": embeddings(shown.labels, 0.01), "poor": embeddings(shown.labels, 1.0)}
    figure = of_networks.retrieval(z, shown)
    for name, found in z.items():
        assert f"{name}, Recall@1 {recall_at_k(found, shown.labels, (1,))[1]:.2f}" in figure.alt
    assert "28 of 28 under good" in figure.alt
    assert f"among {shown.num_classes} classes" in figure.alt


def test_fewer_classes_than_queries_are_no_mistake(images):
    shown = images(1, classes=3)
    figure = of_networks.retrieval({"one": embeddings(shown.labels, 0.01)}, shown)
    assert "3 query images" in figure.alt


@pytest.mark.parametrize("channels", [1, 3])
def test_a_map_says_how_much_it_keeps(channels, images):
    shown = images(channels)
    figure = of_networks.embedding_map(embeddings(shown.labels, 0.05), shown)
    assert f"{len(shown)} images of {shown.num_classes} classes" in figure.alt
    assert "The map keeps" in figure.alt


def test_a_map_of_few_classes_highlights_those_that_there_are(images):
    shown = images(1, classes=3)
    assert "3 classes are highlighted" in of_networks.embedding_map(embeddings(shown.labels, 0.1), shown).alt


def test_of_few_images_all_others_are_shown_and_counted(images):
    shown = images(3, classes=2, of_each=4)
    assert len(shown) == 8
    alt = of_networks.embedding_map(embeddings(shown.labels, 0.1), shown).alt
    assert "The map keeps 100% of each image's 7 nearest neighbours" in alt


def test_a_grid_of_fewer_than_five_images_has_all_others(images):
    shown = images(3, classes=2, of_each=2)
    assert len(shown) == 4
    assert "of 6 under one" in of_networks.retrieval({"one": embeddings(shown.labels, 0.01)}, shown).alt

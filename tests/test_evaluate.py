"""Running a model over a data set: rows in order, the right pixels, metrics of its embeddings."""

import pytest
import torch
from PIL import Image

from dmlteach import data, metrics, models
from dmlteach.data.augment import Augmentation
from dmlteach.evaluate import cached_for, embed, evaluate


@pytest.fixture
def characters():
    return data.load("omniglot", "test", classes=6)


def test_row_i_is_the_embedding_of_image_i(characters):
    model = models.create("omniglot_cnn", 8).eval()
    together = embed(model, characters, "cpu", batch_size=50)
    pixels = cached_for(model, characters).gather([7, 100])
    alone = model(Augmentation("none", 28, model.spec.mean, model.spec.std).apply(pixels, torch.empty(2, 0)))
    torch.testing.assert_close(together[[7, 100]], alone.detach(), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        embed(model, characters, "cpu", rows=torch.tensor([100, 7])), together[[100, 7]]
    )


def test_embedding_leaves_the_training_mode_as_it_was(characters):
    model = models.create("omniglot_cnn", 8).train()
    embed(model, characters, "cpu")
    assert model.training


def test_evaluation_is_the_metrics_of_the_embeddings(characters):
    model = models.create("omniglot_cnn", 8)
    z, y = embed(model, characters, "cpu"), characters.labels
    result = evaluate(model, characters, ks=(1, 3), with_nmi=True, device="cpu")
    assert result["recall@3"] == metrics.recall_at_k(z, y, (3,))[3]
    assert result["map@r"] == metrics.mean_average_precision_at_r(z, y)
    assert result["nmi"] == metrics.nmi(z, y)


def test_queries_search_a_gallery(characters):
    model = models.create("omniglot_cnn", 8)
    result = evaluate(model, characters, characters, device="cpu")
    assert result["recall@1"] == 1  # every query finds itself: a gallery excludes nothing


def test_images_keep_their_aspect_where_the_model_asks_for_it(tmp_path):
    for split in ("train", "test"):
        for name in ("a", "b"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            wide = Image.new("RGB", (120, 60), "black")
            wide.paste("white", (30, 0, 90, 60))  # the central square, and nothing else, is white
            for i in range(2):
                wide.save(folder / f"{i}.png")
    images = data.load("folder", "test", tmp_path)
    cut = models.create("resnet18", None, image_size=56, keep_aspect=True)
    squashed = models.create("resnet18", None, image_size=56)

    def seen(model):
        pixels = cached_for(model, images, progress=False).gather([0])
        return Augmentation("none", 56).apply(pixels, torch.empty(1, 0)).mean().item()

    # 64 wide, squashed, cut to 56: the white middle is 32 of 56 columns
    assert seen(squashed) == pytest.approx(32 / 56, abs=0.03)
    assert seen(cut) == pytest.approx(1, abs=0.03)

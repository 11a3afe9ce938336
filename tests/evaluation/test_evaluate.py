"""Running a model over a data set: rows in order, the right pixels, metrics of its embeddings."""

from unittest.mock import Mock

import pytest
import torch
from PIL import Image

from dmlteach import data, metrics, models
from dmlteach.data.augment import Augmentation
from dmlteach.embeddings import cached_for, embed
from dmlteach.errors import DMLTeachError
from dmlteach.evaluation import evaluate, evaluate_domains
from tests.data import miniatures


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


@pytest.mark.parametrize("outcome", ["it ends", "it raises"])
def test_embedding_leaves_every_layer_in_its_mode_and_the_model_where_it_was(
    characters, monkeypatch, outcome
):
    model = models.create("omniglot_cnn", 8).train()
    layers = list(model.modules())
    layers[3].training = False  # a layer that its user has frozen
    modes, moves = [layer.training for layer in layers], []
    monkeypatch.setattr(type(model), "to", lambda self, device: moves.append(str(device)) or self)
    if outcome == "it raises":
        monkeypatch.setattr(type(model), "forward", Mock(side_effect=MemoryError))
        with pytest.raises(MemoryError):
            embed(model, characters, "cpu")
    else:
        embed(model, characters, "cpu")
    assert [layer.training for layer in layers] == modes
    assert moves == ["cpu", "cpu"]  # to where it is asked for, and home


def test_embeddings_that_are_not_finite_are_one_sentence_that_counts_them(characters):
    model = models.create("omniglot_cnn", 8)
    torch.nn.init.constant_(next(model.head.parameters()), torch.nan)
    with pytest.raises(DMLTeachError, match="120 of 120 embeddings are not finite .*diverged"):
        embed(model, characters, "cpu")


def test_evaluation_is_the_metrics_of_the_embeddings(characters):
    model = models.create("omniglot_cnn", 8)
    z, y = embed(model, characters, "cpu"), characters.labels
    result = evaluate(model, characters, ks=(1, 3), with_nmi=True, device="cpu")
    assert result["recall@3"] == metrics.recall_at_k(z, y, (3,))[3]
    assert result["map@r"] == metrics.mean_average_precision_at_r(z, y)
    assert result["nmi"] == metrics.nmi(z, y)
    clusters = metrics.clustering_metrics(z, y)
    assert result.items() >= clusters.items() and clusters["nmi_starts"] == 10
    chosen = evaluate(model, characters, with_nmi=True, nmi_starts=3, device="cpu")
    assert chosen.items() >= metrics.clustering_metrics(z, y, restarts=3).items()
    with pytest.raises(DMLTeachError, match="at least 1, not 0"):
        evaluate(model, characters, with_nmi=True, nmi_starts=0, device="cpu")


def test_numbers_of_a_collapsed_network_come_with_a_warning_and_of_others_with_none(characters, recwarn):
    model = models.create("omniglot_cnn", 8)
    evaluate(model, characters, device="cpu")
    evaluate_domains(model, "omniglot", classes=6, device="cpu")
    assert not recwarn.list
    torch.nn.init.zeros_(model.head.linear.weight)
    with pytest.warns(UserWarning, match="^all 120 images have the same embedding"):
        evaluate(model, characters, device="cpu")
    with pytest.warns(UserWarning, match="^all 240 images have the same embedding"):
        evaluate(model, characters, characters, device="cpu")
    with pytest.warns(UserWarning, match="have the same embedding"):
        evaluate_domains(model, "omniglot", classes=6, device="cpu")


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


# ── across domains ────────────────────────────────────────────────────────────────────────────────────


def nearest_share(queries, gallery) -> float:
    """Share of queries whose nearest in the gallery is of their class, one query after the other."""
    (q, query_labels), (g, gallery_labels) = queries, gallery
    hits = [
        gallery_labels[(g.double() - one).norm(dim=1).argmin()] == y
        for one, y in zip(q, query_labels, strict=True)
    ]
    return sum(map(int, hits)) / len(hits)


@pytest.mark.parametrize("reverse", [False, True])
def test_domainnets_protocol_on_its_miniature(tmp_path, monkeypatch, reverse):
    from dmlteach.data import domainnet

    monkeypatch.setenv("DMLTEACH_CACHE", str(tmp_path / "cache"))
    for constant, value in miniatures.COUNTS["domainnet"].items():
        monkeypatch.setattr(domainnet, constant, value)
    root = miniatures.write("domainnet", tmp_path / "data")
    model = models.create("resnet18", 4, weights=None, image_size=32)
    result = evaluate_domains(model, "domainnet", root, reverse=reverse, device="cpu")

    def embedded(domain):
        images = data.load("domainnet", "test", root, domain=domain)
        return embed(model, images, "cpu"), images.labels

    others = ["quickdraw", "clipart", "sketch", "infograph", "painting"]
    assert result["protocol"] == "cross-domain, same classes"
    assert list(result["domains"]) == [f"{d} → real" if reverse else f"real → {d}" for d in others]
    expected = []
    for domain, found in zip(others, result["domains"].values(), strict=True):
        sides = (embedded(domain), embedded("real")) if reverse else (embedded("real"), embedded(domain))
        expected.append(nearest_share(*sides))
        assert found["recall@1"] == expected[-1]
        assert found["num_queries"] == 8
    assert result["average"]["recall@1"] == pytest.approx(sum(expected) / 5)
    assert 0 < result["average"]["recall@1"] < 1  # the miniature tells models apart


def test_drawings_search_restyled_ones():
    model = models.create("omniglot_cnn", 8)
    result = evaluate_domains(model, "omniglot", classes=6, device="cpu")
    query, gallery = (
        data.load("omniglot", "query", classes=6),
        data.load("omniglot", "gallery", domain="restyled", classes=6),
    )
    expected = nearest_share(*[(embed(model, images, "cpu"), images.labels) for images in (query, gallery)])
    assert result["domains"]["drawings → restyled"]["recall@1"] == expected
    assert result["average"]["recall@1"] == expected
    assert result["protocol"] == "cross-domain, new classes"


def test_a_data_set_with_one_domain_is_refused():
    with pytest.raises(DMLTeachError, match="one domain only"):
        evaluate_domains(models.create("omniglot_cnn", 8), "cub200", "anywhere")

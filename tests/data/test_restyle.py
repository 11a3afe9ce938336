"""The restyled domain of Omniglot: another look, the same characters."""

import numpy as np
import pytest
import torch

from dmlteach.data import cached, domains, load
from dmlteach.data.restyle import restyle, styles
from dmlteach.errors import DMLTeachError


@pytest.fixture(scope="module")
def both():
    """Forty characters of the test split in both domains: (800, 1, 105, 105)."""
    sets = [load("omniglot", "test", domain=domain, classes=40) for domain in domains("omniglot").names]
    return [torch.cat(dataset.source.read(torch.arange(800))) for dataset in sets]


def test_restyled_drawings_are_the_same_at_every_time_and_in_any_company():
    dataset = load("omniglot", "test", domain="restyled")
    alone = [dataset[i][0] for i in (0, 7, 4000)]
    together = dataset.__getitems__([4000, 7, 1, 0])
    for image, row in zip(alone, (3, 1, 0), strict=True):
        assert torch.equal(image, together[row][0])
    few = dataset.subset_classes([200])
    assert torch.equal(few[0][0], alone[2])


def test_restyling_is_pinned():
    """A change of the pixels must count up VERSION, or old caches would be taken for new ones."""
    ink = torch.zeros(2, 1, 9, 9, dtype=torch.uint8)
    ink[:, :, 4, 2:7] = 255
    image = restyle(
        ink, torch.tensor([[1, 40, 120, 250, 1, 2, 9, 0, 10], [2, 20, 160, 220, -3, 1, 12, 5, 8]]).short()
    )
    assert image[0, 0, 4].tolist() == [40, 250, 130, 130, 130, 130, 130, 250, 30]
    assert image[0, 0, :, 4].tolist() == [40, 40, 40, 250, 130, 250, 30, 40, 40]
    assert image[1, 0, :, 4].tolist() == [12, 12, 220, 220, 168, 220, 220, 20, 20]
    assert styles(2)[1].tolist() == styles(20_000)[1].tolist()


def test_strokes_keep_their_place_and_stand_out_from_the_cloth(both):
    drawings, restyled = both
    away = torch.nn.functional.max_pool2d(drawings.float(), 5, stride=1, padding=2) == 0  # two pixels or more
    assert restyled[drawings == 255].min() > 100
    assert restyled[away].max() < 60


def test_it_looks_clearly_different(both):
    drawings, restyled = both
    assert set(drawings.unique().tolist()) == {0, 255}
    assert min(len(image.unique()) for image in restyled[::20]) >= 4  # cloth, its stripes, inside, outline
    changed = (drawings != restyled).float().mean((1, 2, 3))
    assert changed.min() > 0.9
    assert len(styles(800).unique(dim=0)) == 800


def test_both_domains_share_classes_and_labels():
    query = load("omniglot", "query")
    gallery = load("omniglot", "gallery", domain="restyled")
    assert query.class_names == gallery.class_names == load("omniglot", "test").class_names
    assert torch.equal(query.labels, gallery.labels)
    assert query.labels.bincount().tolist() == [10] * 659


def test_no_drawing_is_both_query_and_gallery():
    query, gallery = load("omniglot", "query"), load("omniglot", "gallery", domain="restyled")
    both = torch.cat([query.source.packed, gallery.source.packed])
    assert both.sort().values.tolist() == list(range(13_180))


def test_every_split_exists_in_every_domain():
    for split in ("train", "test", "fit", "val", "query", "gallery"):
        plain, styled = (load("omniglot", split, domain=domain) for domain in domains("omniglot").names)
        assert torch.equal(plain.labels, styled.labels)
        assert plain.fingerprint != styled.fingerprint


def test_rotated_characters_are_restyled_after_turning():
    dataset = load("omniglot", "train", rotations=True, domain="restyled")
    upright, turned = dataset[3][0], dataset[20 + 3][0]  # the same drawing, 90° on
    strokes = upright.int() > 105
    overlap = (strokes.rot90(1, (1, 2)) & (turned.int() > 105)).sum() / strokes.sum()
    assert overlap == 1


def test_the_cache_keeps_domains_apart(tmp_path):
    sets = [load("omniglot", "query", domain=domain, classes=3) for domain in domains("omniglot").names]
    plain, styled = (cached(d, 28, folder=tmp_path, progress=False).gather(range(30)).float() for d in sets)
    assert np.corrcoef(plain.ravel(), styled.ravel())[0, 1] > 0.5  # the same strokes
    assert (plain - styled).abs().mean() > 10


def test_an_unknown_domain_gets_a_suggestion():
    with pytest.raises(
        DMLTeachError, match=r"unknown domain of 'omniglot' 'restiled'; did you mean 'restyled'"
    ):
        load("omniglot", "gallery", domain="restiled")

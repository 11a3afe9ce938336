"""The batch explorer in the kernel: numbers are those of samplers and losses, states are checked."""

import html
import json
import re

import numpy as np
import pytest
import torch

from dmlteach import losses, samplers
from dmlteach.course.recordings import recordings
from dmlteach.course.widgets import BatchExplorer
from dmlteach.course.widgets.batch_explorer.batches import (
    COLUMNS,
    KINDS,
    MARGIN,
    SHOWN,
    SIDE,
    packed,
    plan,
    plans,
    sheet,
)
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Space

SIZE = 16


@pytest.fixture(scope="module")
def record():
    return recordings("sst")


@pytest.fixture(scope="module")
def planned():
    return plans("sst", SIZE, 0)[1]


def batches(record, name: str, epoch: int, seed: int = 0) -> list[list[int]]:
    """What the sampler itself gives, planned as a trainer would."""
    sampler = samplers.create(name, record.labels, SIZE, seed=seed, **KINDS[name])
    sampler.plan(epoch, Space(record.embeddings[epoch], record.labels))
    return [sorted(batch) for batch in sampler]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("epoch", [0, 3, 12])
def test_the_batches_are_those_of_the_sampler(record, planned, name, epoch):
    given = batches(record, name, epoch)
    assert [sorted(look.rows.tolist()) for look in planned[epoch][name].looks] == given[:SHOWN]
    assert planned[epoch][name].epoch.batches == len(given)


def counted(z, labels, rows: list[int]) -> dict[str, float]:
    """What a batch holds, counted triplet by triplet in float64."""
    distance = torch.cdist(z.double(), z.double()).numpy()
    order = [[j for j in np.argsort(distance[i], kind="stable") if j != i][:10] for i in rows]
    pairs = {
        frozenset((i, int(j)))
        for i, near in zip(rows, order, strict=True)
        for j in near
        if int(j) in rows and labels[i] != labels[j]
    }
    triplets = active = hard = alone = 0
    ratios = []
    for a in rows:
        positives = sorted(
            (p for p in rows if labels[p] == labels[a] and p != a), key=lambda p: distance[a, p]
        )
        negatives = [n for n in rows if labels[n] != labels[a]]
        alone += not positives
        if positives and negatives:
            ratios.append(min(distance[a, n] for n in negatives) / distance[a, positives[0]])
        for p in positives[:5]:
            for n in negatives:
                gap = distance[a, p] ** 2 - distance[a, n] ** 2
                triplets, active, hard = triplets + 1, active + (gap > -MARGIN), hard + (gap > 0)
    return {
        "alone": alone,
        "confusable": len(pairs),
        "triplets": triplets,
        "active": active / max(triplets, 1),
        "hard": hard / max(triplets, 1),
        "ratio": sorted(ratios)[(len(ratios) - 1) // 2] if ratios else float("nan"),
    }


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("epoch", [0, 10])
def test_the_contents_are_counted_right(record, planned, name, epoch):
    z = record.embeddings[epoch]
    for look in planned[epoch][name].looks[:2]:
        expected = counted(z, record.labels, look.rows.tolist())
        for key, value in expected.items():
            assert getattr(look.contents, key) == pytest.approx(value, rel=1e-3, nan_ok=True), key
        assert look.active.sum() == round(expected["active"] * expected["triplets"])
        assert look.confusable.sum() == 2 * expected["confusable"]


@pytest.mark.parametrize("name", KINDS)
def test_the_shares_are_those_that_the_losses_report(record, planned, name):
    for epoch in (0, 6):
        look = planned[epoch][name].looks[0]
        z, labels = record.embeddings[epoch][look.rows], record.labels[look.rows]
        for loss, options, key in (
            ("triplet", {"margin": MARGIN}, "active"),
            ("triplet", {"margin": 0.0}, "hard"),
            ("sst", {}, "sst"),
        ):
            stats = losses.create(loss, **options).stats(z, labels)
            assert getattr(look.contents, key) == pytest.approx(stats["active_tuples"].item(), abs=1e-6)


def test_the_targets_are_those_that_local_sampling_chose(record):
    sampler = samplers.create("local", record.labels, SIZE, seed=0)
    sampler.plan(1, Space(record.embeddings[1], record.labels))
    looks = plan(record, "local", 1, SIZE, 0).looks
    for batch, look in zip(list(sampler)[:SHOWN], looks, strict=True):
        rows = torch.tensor(batch)

        def pairs(rows, targets):
            return {(int(rows[a]), int(rows[p])) for a, row in enumerate(targets) for p in row if p >= 0}

        assert pairs(rows, batch.tuples.targets) == pairs(look.rows, look.targets)


def test_the_means_of_an_epoch_are_over_the_anchors_of_all_its_batches(record, planned):
    means = planned[0]["random"].epoch
    z, labels = record.embeddings[0], record.labels
    held = [counted(z, labels, rows) for rows in batches(record, "random", 0)]
    anchors = SIZE * len(held)
    assert means.confusable == pytest.approx(2 * sum(h["confusable"] for h in held) / anchors)
    assert means.alone == pytest.approx(sum(h["alone"] for h in held) / anchors)
    assert means.active == pytest.approx(np.mean([h["active"] for h in held]), abs=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_what_chapter_and_takeaway_say_holds(record, seed):
    start, end = ({name: plan(record, name, epoch, 32, seed).epoch for name in KINDS} for epoch in (0, 10))
    assert start["local"].confusable > 3 * start["random"].confusable
    assert end["local"].confusable > 3 * end["random"].confusable
    assert end["random"].confusable < start["random"].confusable / 4
    assert end["local"].confusable < start["local"].confusable / 4
    assert start["random"].alone > start["local"].alone > start["class_balanced"].alone == 0
    assert start["local"].alone > 2 * end["local"].alone
    assert end["local"].dropped >= 4 > start["local"].dropped
    assert end["local"].confusable > end["local_classes"].confusable > end["random"].confusable


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_neighbourhoods_dropped_after_ten_epochs_show_one_character_each(record, seed):
    z, labels = record.embeddings[10], record.labels
    sampler = samplers.create("local", labels, 32, seed=seed)
    rng = np.random.default_rng([seed, 10])  # as `Sampler.plan` draws
    clusters, _ = sampler._cluster(rng, z)
    rows = [sampler._subsample(rng, cluster) for cluster in clusters]
    single = sum(len(labels[batch].unique()) == 1 for batch in rows)
    assert single == plan(record, "local", 10, 32, seed).epoch.dropped


def test_a_state_set_from_python_is_what_contents_and_rows_answer(record, planned):
    explorer = BatchExplorer(batch_size=SIZE)
    before = explorer.contents
    explorer.sampler, explorer.epoch, explorer.batch = "local", 3, 2
    assert explorer.contents == planned[3]["local"].looks[2].contents != before
    assert explorer.rows == planned[3]["local"].looks[2].rows.tolist()
    assert explorer.epoch_means()["random"] == planned[3]["random"].epoch
    assert explorer.epoch_means(7)["local"] == planned[7]["local"].epoch


def test_a_batch_beyond_the_last_shows_the_last():
    explorer = BatchExplorer(recording="softmax", sampler="local", epoch=10)
    last = explorer._plan.looks[-1]
    explorer.batch = SHOWN - 1
    assert len(explorer._plan.looks) < SHOWN
    assert explorer.contents == last.contents


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("recording", "ssst", "did you mean 'sst'"),
        ("sampler", "locale", "did you mean 'local'"),
        ("epoch", 13, "epoch is 13; it may be 0 to 12"),
        ("batch", -1, "0 to 7"),
        ("anchor", 32, "0 to 31"),
        ("batch_size", 18, "8 to 32, a multiple of 4"),
        ("batch_size", 64, "8 to 32, a multiple of 4"),
        ("seed", -1, "a whole number from 0 on"),
    ],
)
def test_a_state_that_cannot_be_is_refused_by_name(name, value, message):
    with pytest.raises(DMLTeachError, match=message):
        BatchExplorer(**{name: value})
    explorer = BatchExplorer()
    if name in explorer.traits():
        before = getattr(explorer, name)
        with pytest.raises(DMLTeachError, match=message):
            setattr(explorer, name, value)
        assert getattr(explorer, name) == before


@pytest.fixture(scope="module")
def page():
    return BatchExplorer(sampler="local")._repr_mimebundle_()[0]


def test_output_holds_the_widget_and_html_that_loads_nothing(page):
    assert "application/vnd.jupyter.widget-view+json" in page
    text = page["text/html"]
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(["']?http|\bimport\b""", text)
    assert BatchExplorer._esm in text
    state = json.loads(html.unescape(re.search(r'data-state="([^"]+)"', text)[1]))
    assert (state["sampler"], state["epoch"]) == ("local", 0)
    assert state["recorded"] == packed("sst", 32, 0)


def test_the_picture_says_what_it_shows(page):
    explorer = BatchExplorer(sampler="local")
    alt = re.search(r'alt="([^"]+)"', page["text/html"])[1]
    assert "A local batch at epoch 0: 32 drawings of" in alt
    assert f"{explorer.contents.confusable} confusable pairs" in alt


def test_module_and_data_are_small():
    assert len(BatchExplorer._esm.encode()) <= 40_000
    assert len(json.dumps(packed("sst", 32, 0))) <= 500_000


def test_the_sheet_holds_every_drawing_in_its_place(record):
    whole = sheet("sst")
    for row in (0, 26, 499):
        top, left = SIDE * (row // COLUMNS), SIDE * (row % COLUMNS)
        tile = torch.from_numpy(3 - whole[top : top + SIDE, left : left + SIDE].astype(np.float32))
        small = torch.nn.functional.adaptive_avg_pool2d(tile[None, None], 14)[0, 0]
        wanted = torch.nn.functional.adaptive_avg_pool2d(record.images[row][None, None].float(), 14)[0, 0]
        assert torch.corrcoef(torch.stack([small.flatten(), wanted.flatten()]))[0, 1] > 0.95

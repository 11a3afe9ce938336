"""What chapter 03, its explorer and its exercises claim about which images share a batch."""

from functools import cache
from itertools import pairwise
from math import comb
from statistics import mean
from types import SimpleNamespace

import pytest
import torch

from dmlteach import data, samplers
from dmlteach.exercises.batches import EXPECTED
from dmlteach.interfaces import Space
from dmlteach.plots.tsne import kept_neighbours, tsne
from dmlteach.pretrained import recordings
from dmlteach.pretrained.__main__ import Recorder

every_seed = pytest.mark.parametrize(
    "seed", [1, 2, 3]
)  # of training, batches and drawings; recordings have 0
BEFORE, AFTER = "before training", "after training"
SAMPLERS = ("random", "class_balanced", "local", "local_classes")


@pytest.fixture(scope="session")
def chapter(trained, run_cells):
    """The chapter's own counts on a network trained anew with a seed, and its batches."""

    @cache
    def of(seed: int) -> dict:
        run = trained("sst", seed)
        images = torch.zeros(len(run.labels), 28, 28, dtype=torch.uint8)
        record = SimpleNamespace(embeddings=run.moments, labels=run.labels, images=images)
        space = run_cells("03", "imports", seed=seed)
        space["pretrained"] = SimpleNamespace(recordings=lambda name: record)
        return run_cells("03", "record", "holds", "holds-read", "middle", **space)

    return of


def positives(labels, batch):
    return (labels[batch][:, None] == labels[batch]).sum(1) - 1


def dropped_and_alone(z, labels, size: int) -> tuple[float, float]:
    """Of local batches: the share of neighbourhoods without a triplet, that of anchors without a positive."""
    dropped, alone = [], []
    for seed in range(8):
        sampler = samplers.create("local", labels, size, seed=seed)
        report = sampler.plan(0, Space(z, labels))
        without = report["batches_without_triplet"]
        dropped.append(without / (without + report["batches"]))
        alone.append(torch.cat([positives(labels, batch) == 0 for batch in sampler]).float().mean().item())
    return mean(dropped), mean(alone)


# --- what each batch holds


@every_seed
def test_a_neighbourhood_holds_more_confusable_drawings_than_a_random_batch_before_and_after(seed, chapter):
    found = chapter(seed)["found"]
    for moment in (BEFORE, AFTER):
        assert found[moment, "local"][2] > 3 * found[moment, "random"][2]
        assert found[moment, "local"][0] > 2 * found[moment, "random"][0]  # and the positives found already
    for name in SAMPLERS:
        assert found[AFTER, name][2] < 0.9 * found[BEFORE, name][2]  # both become rarer


@every_seed
def test_the_price_is_anchors_without_a_positive_and_is_paid_most_before_training(seed, chapter):
    found = chapter(seed)["found"]
    assert found[BEFORE, "local"][1] > 1.3 * found[AFTER, "local"][1] > 0
    for moment in (BEFORE, AFTER):
        assert found[moment, "random"][1] > 1.2 * found[moment, "local"][1]
        assert found[moment, "class_balanced"][1] == found[moment, "local_classes"][1] == 0


@every_seed
def test_local_classes_have_a_positive_for_every_anchor_and_nearer_negatives_than_random_classes(
    seed, chapter
):
    found = chapter(seed)["found"]
    for moment in (BEFORE, AFTER):
        assert found[moment, "local_classes"][2] > 1.05 * found[moment, "class_balanced"][2]


@every_seed
def test_characters_drawn_at_random_rarely_resemble_each_other_and_become_too_easy(seed, chapter):
    found = chapter(seed)["found"]
    negatives = 32 - 4
    assert found[BEFORE, "class_balanced"][2] < 0.05 * negatives
    assert found[AFTER, "class_balanced"][3] < 0.6 * found[BEFORE, "class_balanced"][3] < 0.25


@every_seed
def test_later_more_neighbourhoods_hold_one_character_and_larger_batches_are_the_cure(seed, trained):
    run = trained("sst", seed)
    start, end = ({size: dropped_and_alone(z, run.labels, size) for size in (16, 64)} for z in (
        run.moments[0], run.moments[-1],
    ))  # fmt: skip
    assert end[16][0] > start[16][0] + 0.02
    assert end[64][0] < 0.7 * end[16][0]
    for sizes in (start, end):
        assert sizes[64][1] < 0.7 * sizes[16][1]  # larger batches leave fewer alone
    assert end[64][1] < 0.25  # after some epochs most anchors have found a positive


@every_seed
def test_among_more_characters_a_random_batch_is_poorer_still(seed, chapter, unseen, monkeypatch):
    space, of = chapter(seed), unseen(seed)
    for name in ("untrained", "sst"):
        confusable = []
        for characters in (25, 50):
            rows = of.labels < characters
            z = of.embeddings[name][rows]
            monkeypatch.setitem(space, "labels", of.labels[rows])
            confusable.append(space["contents"](z, space["batches_of"]("random", z))[2])
        assert confusable[1] < 0.8 * confusable[0]


@every_seed
def test_a_local_batch_lies_in_one_region_of_the_map_and_the_others_all_over_it(seed, chapter):
    space = chapter(seed)
    z = space["moments"][-1]
    page = torch.as_tensor(tsne(z, seed=seed)).float()
    spread = {}
    for name, options in space["kinds"].items():
        batches = space["batches_of"](name, z, **options)
        spread[name] = torch.stack([torch.pdist(page[batch]).mean() for batch in batches]).median()
    whole = torch.pdist(page).mean()
    assert spread["local"] < 0.6 * whole
    assert min(spread["random"], spread["class_balanced"]) > 0.8 * whole


@every_seed
def test_characters_that_share_a_local_batch_are_alike_in_shape_also_to_the_pixel(seed, chapter):
    space = chapter(seed)
    labels, z = space["labels"], space["moments"][-1]
    recorder = Recorder()
    pixels = data.cached(recorder.test, 28, progress=False).gather(recorder.rows).float()
    blurred = torch.nn.functional.avg_pool2d(pixels, 7, 1, 3).flatten(1)  # strokes need not coincide
    apart = {}
    for name in ("random", "class_balanced", "local"):
        found = []
        for batch in space["batches_of"](name, z, **space["kinds"][name]):
            different = labels[batch][:, None] != labels[batch]
            found.append(torch.cdist(blurred[batch], blurred[batch])[different].mean())
        apart[name] = torch.stack(found).mean().item()
    assert apart["local"] < 0.95 * min(apart["random"], apart["class_balanced"])


@every_seed
def test_early_in_training_the_neighbourhoods_of_yesterday_are_not_those_of_today(seed, trained):
    for moments in (trained("sst", seed).moments, recordings("sst").embeddings):
        kept = [kept_neighbours(old.numpy(), new.numpy(), k=10) for old, new in pairwise(moments)]
        assert kept[0] < 0.5 and kept[1] < 0.8
        assert kept == sorted(kept)  # and more and more of them as it goes on


# --- what exercises and tables say


@every_seed
def test_with_almost_a_thousand_characters_most_anchors_of_a_random_batch_are_alone(seed):
    labels = data.load("omniglot", "train").labels
    sampler = samplers.create("random", labels, 64, seed=seed)
    sampler.plan(0)
    alone = torch.cat([positives(labels, batch) == 0 for batch in sampler]).float().mean()
    assert alone > 0.9
    assert 950 < len(labels.unique()) < 1000


@every_seed
def test_over_the_epochs_nearly_every_row_has_its_turn(seed, trained):
    run = trained("sst", seed)
    sampler = samplers.create("local", run.labels, 32, seed=seed)
    for z in (run.moments[0], run.moments[-1]):
        seen = set()
        for epoch in range(10):
            sampler.plan(epoch, Space(z, run.labels))
            seen.update(row for batch in sampler for row in batch)
        assert len(seen) > 0.95 * len(run.labels)


def test_of_a_thousand_classes_sixteen_of_seventeen_anchors_are_alone_in_a_random_batch():
    assert round(63 * 19 / 19_999, 2) == 0.06
    assert comb(20_000 - 20, 63) / comb(19_999, 63) == pytest.approx(16 / 17, abs=0.002)


def test_of_online_products_fewer_than_one_anchor_in_a_hundred_has_a_positive():
    at_random, _ = EXPECTED.value()
    assert at_random < 0.01  # no more anchors than positives


def test_the_recording_is_as_large_as_the_text_says():
    record = recordings("sst")
    assert len(record.labels) == 500 and record.labels.unique(return_counts=True)[1].tolist() == [20] * 25

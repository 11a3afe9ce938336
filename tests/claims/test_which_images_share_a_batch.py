"""What the chapter on batches, its explorer and its exercises claim about which images share a batch."""

import json
from functools import cache
from itertools import pairwise
from math import comb
from statistics import mean
from types import SimpleNamespace

import pytest
import torch

from dmlteach import data, models, samplers
from dmlteach.course import CHECKOUT, measured
from dmlteach.course.exercises.batches import EXPECTED
from dmlteach.course.recordings import recordings
from dmlteach.embeddings import embed
from dmlteach.interfaces import Space
from dmlteach.neighbors import nearest
from dmlteach.plots.tsne import kept_neighbours, tsne

BEFORE, AFTER = "before training", "after training"
SAMPLERS = ("random", "class_balanced", "local", "local_classes")
COLUMNS = ("positives", "without", "confusable", "active", "noticed")
DRAWS = range(4)  # of batches, on one recording


@pytest.fixture(scope="session")
def chapter(run_cells):
    """The chapter's own counts on a recording, or on embeddings made anew, and its batches."""

    def of(embeddings, labels, seed: int) -> dict:
        images = torch.zeros(len(labels), 28, 28, dtype=torch.uint8)
        record = SimpleNamespace(embeddings=embeddings, labels=labels, images=images)
        space = run_cells("which_images_share_a_batch", "imports", seed=seed)
        space["pretrained"] = SimpleNamespace(recordings=lambda name: record)
        space = run_cells("which_images_share_a_batch", "record", "holds", "holds-read", "middle", **space)
        space["found"] = {key: dict(zip(COLUMNS, row, strict=True)) for key, row in space["found"].items()}
        return space

    return of


@pytest.fixture(scope="session")
def anew(chapter, trained):
    """The same on a network trained anew with a seed."""

    @cache
    def of(seed: int) -> dict:
        run = trained("sst", seed)
        return chapter(run.moments, run.labels, seed)

    return of


@pytest.fixture(scope="session")
def recorded(chapter) -> dict[tuple[str, str], dict[str, float]]:
    """The chapter's tables on its recording, as means over several draws of batches."""
    record = recordings("sst")
    draws = [chapter(record.embeddings, record.labels, seed)["found"] for seed in DRAWS]
    return {key: {name: mean(found[key][name] for found in draws) for name in COLUMNS} for key in draws[0]}


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


def test_a_recorded_neighbourhood_holds_more_confusable_drawings_and_positives_than_a_random_batch(recorded):
    for moment in (BEFORE, AFTER):
        local, random = recorded[moment, "local"], recorded[moment, "random"]
        assert local["confusable"] > 3 * random["confusable"]
        assert local["positives"] > 2 * random["positives"]  # those found already
    for name in SAMPLERS:
        assert recorded[AFTER, name]["confusable"] < 0.5 * recorded[BEFORE, name]["confusable"]


def test_after_a_training_anew_too_a_neighbourhood_holds_more_confusable_drawings_and_positives(
    mean_over_seeds, anew
):
    def measure(seed):
        found = anew(seed)["found"]
        return {
            f"{name}, {moment}": found[moment, "local"][name] / found[moment, "random"][name]
            for moment in (BEFORE, AFTER)
            for name in ("confusable", "positives")
        }

    mean = mean_over_seeds(measure)
    assert mean[f"confusable, {BEFORE}"] > 3  # 6.0 ± 0.8, 24 seeds
    assert mean[f"confusable, {AFTER}"] > 3  # 7.1 ± 1.0
    assert mean[f"positives, {BEFORE}"] > 2  # 4.6 ± 0.6
    assert mean[f"positives, {AFTER}"] > 2  # 6.2 ± 0.8


def test_before_training_a_neighbourhood_holds_no_more_active_triplets_and_at_five_times_the_margin_it_does(
    recorded, chapter
):
    local, random = recorded[BEFORE, "local"], recorded[BEFORE, "random"]
    assert random["active"] - 0.1 < local["active"] < random["active"] - 0.01  # "about the same" in the form
    record = recordings("sst")
    wide = [chapter(record.embeddings, record.labels, seed)["wide"] for seed in DRAWS]
    assert mean(found["local"] - found["random"] for found in wide) > 0.05
    assert local["noticed"] > random["noticed"] > 0.9  # by SST: distances are small


def test_after_training_few_triplets_are_active_anywhere_and_sst_notices_most_in_a_neighbourhood(recorded):
    after = {name: recorded[AFTER, name] for name in SAMPLERS}
    assert all(row["active"] < 0.03 for row in after.values())
    assert after["local"]["noticed"] > 2 * after["random"]["noticed"]
    assert after["local"]["noticed"] > after["local_classes"]["noticed"] > after["class_balanced"]["noticed"]


def test_the_price_is_anchors_without_a_positive_and_is_paid_most_before_training(recorded):
    for moment in (BEFORE, AFTER):
        assert recorded[moment, "random"]["without"] > 1.2 * recorded[moment, "local"]["without"] > 0
        assert recorded[moment, "class_balanced"]["without"] == 0
        assert recorded[moment, "local_classes"]["without"] == 0
    assert recorded[BEFORE, "local"]["without"] > 2 * recorded[AFTER, "local"]["without"]


def test_local_classes_have_a_positive_for_every_anchor_and_nearer_negatives_than_random_classes(
    recorded, mean_over_seeds, anew
):
    for moment in (BEFORE, AFTER):
        near, drawn = (recorded[moment, name]["confusable"] for name in ("local_classes", "class_balanced"))
        assert near > 1.05 * drawn

    def measure(seed):
        found = {key: row["confusable"] for key, row in anew(seed)["found"].items()}
        return {"later": found[AFTER, "local_classes"] / found[AFTER, "class_balanced"]}

    assert mean_over_seeds(measure)["later"] > 1  # 1.47 ± 0.21, 24 seeds


def test_characters_drawn_at_random_rarely_resemble_each_other_and_become_too_easy(recorded):
    negatives = 32 - 4
    before, after = (recorded[moment, "class_balanced"] for moment in (BEFORE, AFTER))
    assert before["confusable"] < 0.05 * negatives
    assert after["active"] < 0.1 * before["active"] < 0.035


def test_later_more_neighbourhoods_hold_one_character_and_larger_batches_are_the_cure():
    record = recordings("sst")
    start, end = (
        {size: dropped_and_alone(record.embeddings[moment], record.labels, size) for size in (16, 32, 64)}
        for moment in (0, -1)
    )
    for size in (16, 32):
        assert end[size][0] > start[size][0] + 0.1
    assert end[64][0] < 0.5 * end[32][0] and end[32][0] < end[16][0]
    for sizes in (start, end):
        assert sizes[64][1] < 0.7 * sizes[16][1]  # larger batches leave fewer alone
    assert end[64][1] < 0.1


@pytest.mark.parametrize("name", ["untrained", "sst"])
def test_among_more_characters_a_random_batch_is_poorer_still(name):
    test = data.load("omniglot", "test", classes=100)
    z = embed(models.pretrained(name), test)

    def confusable(characters: int) -> float:
        """Confusable drawings per anchor that a random batch of 32 holds, in expectation."""
        rows = test.labels < characters
        near, labels = nearest(z[rows], z[rows], 11)[1], test.labels[rows]
        is_near = torch.zeros(len(labels), len(labels), dtype=torch.bool).scatter_(1, near, True)
        pairs = (is_near | is_near.T) & (labels[:, None] != labels)
        return 31 * pairs.sum(1).double().mean().item() / (len(labels) - 1)

    assert confusable(100) < 0.6 * confusable(25)  # untrained 0.16 and 0.40, trained 0.037 and 0.098


def test_a_local_batch_lies_in_one_region_of_the_map_and_the_others_all_over_it(recorded_map):
    spread, whole = recorded_map
    assert spread["local"] < 0.6 * whole
    assert min(spread["random"], spread["class_balanced"]) > 0.8 * whole


@pytest.fixture(scope="session")
def recorded_map(chapter) -> tuple[dict[str, float], float]:
    """On the chapter's map: the mean distance within a batch of each sampler, and among all drawings."""
    record = recordings("sst")
    space = chapter(record.embeddings, record.labels, 0)
    z = space["moments"][-1]
    page = torch.as_tensor(tsne(z, seed=0)).float()
    spread = {}
    for name, options in space["kinds"].items():
        batches = space["batches_of"](name, z, **options)
        spread[name] = torch.stack([torch.pdist(page[batch]).mean() for batch in batches]).median().item()
    return spread, torch.pdist(page).mean().item()


def test_characters_that_share_a_local_batch_are_alike_in_shape_also_to_the_pixel(chapter):
    record = recordings("sst")
    pixels = torch.as_tensor(record.images)[:, None].float()
    blurred = torch.nn.functional.avg_pool2d(pixels, 7, 1, 3).flatten(1)  # strokes need not coincide
    apart = {name: [] for name in ("random", "class_balanced", "local")}
    for seed in DRAWS:
        space = chapter(record.embeddings, record.labels, seed)
        labels, z = space["labels"], space["moments"][-1]
        for name, found in apart.items():
            for batch in space["batches_of"](name, z, **space["kinds"][name]):
                different = labels[batch][:, None] != labels[batch]
                found.append(torch.cdist(blurred[batch], blurred[batch])[different].mean().item())
    assert mean(apart["local"]) < 0.95 * min(mean(apart["random"]), mean(apart["class_balanced"]))


def test_early_in_the_recorded_training_the_neighbourhoods_of_yesterday_are_not_those_of_today():
    kept = kept_between(recordings("sst").embeddings)
    assert kept[0] < 0.5 and kept[1] < 0.8
    assert kept == sorted(kept)  # and more and more of them as it goes on


def test_early_in_a_training_anew_too_the_neighbourhoods_of_yesterday_are_not_those_of_today(
    mean_over_seeds, trained
):
    def measure(seed):
        return {f"epoch {i}": kept for i, kept in enumerate(kept_between(trained("sst", seed).moments), 1)}

    first, second, third = mean_over_seeds(measure).values()
    assert first < 0.55  # 0.430 ± 0.031, 24 seeds
    assert second < 0.8  # 0.690 ± 0.041
    assert second < third  # 0.908 ± 0.016


def kept_between(moments) -> list[float]:
    """Share of the ten nearest neighbours that were among the ten nearest at the moment before."""
    return [kept_neighbours(old.float(), new.float().numpy(), k=10) for old, new in pairwise(moments)]


# --- does it pay?


def test_the_recorded_verdict_local_sampling_does_not_pay_in_short_trainings_on_drawings():
    content = json.loads((CHECKOUT / "benchmarks" / "comparison.json").read_text(encoding="utf-8"))
    rows = {row["sampler"]: row for row in content["rows"] if row["loss"] == "sst"}
    recall = {name: row["recall@1"] for name, row in rows.items()}  # mean, half of the 95 % interval

    def overlap(a: str, b: str) -> bool:
        return abs(recall[a][0] - recall[b][0]) < recall[a][1] + recall[b][1]

    assert overlap("local", "class_balanced") and recall["local"][0] <= recall["class_balanced"][0]
    assert 0.4 < rows["local"]["plan_share"] < 0.6
    assert 1.5 < rows["local"]["train_seconds"][0] / rows["class_balanced"]["train_seconds"][0] < 2.5
    assert max(recall, key=lambda name: recall[name][0]) == "local_classes"
    assert overlap("local_classes", "class_balanced") and rows["local_classes"]["plan_share"] < 0.2
    steps = data.load("omniglot", "train").labels.numel() // 256  # groups, and so batches, of an epoch
    assert steps * content["epochs"] < content["steps"]


def test_tuned_and_for_longer_local_batches_end_where_p_by_k_batches_do_and_local_classes_above_them():
    tuned = {name: measured.in_batches_of("sst", name) for name in SAMPLERS}
    content = json.loads((CHECKOUT / "benchmarks" / "comparison.json").read_text(encoding="utf-8"))
    assert all(run.steps > content["steps"] for ranked in tuned.values() for run in ranked.runs.values())
    higher, half, _ = tuned["local"].minus(tuned["class_balanced"])
    assert abs(higher) <= half
    higher, half, _ = tuned["local_classes"].minus(tuned["local"])
    assert higher > half
    for name, local, local_classes in (("sst", 0, 1), ("triplet", 0, 1), ("multi_similarity", -1, -1)):
        of_it = {batches: measured.in_batches_of(name, batches) for batches in SAMPLERS}
        for batches, sign in (("local", local), ("local_classes", local_classes)):
            higher, half, _ = of_it[batches].minus(of_it["class_balanced"])
            assert (higher > half) - (higher < -half) == sign
    sizes = [
        samplers.options(name)["images_per_class"].default for name in ("class_balanced", "local_classes")
    ]
    assert sizes == [4, 8]  # "four drawings of a character there and local classes eight"


# --- what exercises and tables say


@pytest.mark.parametrize("seed", [1, 2, 3])  # of shuffling
def test_with_almost_a_thousand_characters_most_anchors_of_a_random_batch_are_alone(seed):
    labels = data.load("omniglot", "train").labels
    sampler = samplers.create("random", labels, 64, seed=seed)
    sampler.plan(0)
    alone = torch.cat([positives(labels, batch) == 0 for batch in sampler]).float().mean()
    assert alone > 0.9
    assert 950 < len(labels.unique()) < 1000


def test_over_the_epochs_nearly_every_row_has_its_turn():
    record = recordings("sst")
    for z in (record.embeddings[0], record.embeddings[3]):  # later, groups of one character are left out
        sampler = samplers.create("local", record.labels, 32, seed=0)
        seen = set()
        for epoch in range(10):
            sampler.plan(epoch, Space(z, record.labels))
            seen.update(row for batch in sampler for row in batch)
        assert len(seen) > 0.95 * len(record.labels)


def test_of_a_thousand_classes_sixteen_of_seventeen_anchors_are_alone_in_a_random_batch():
    assert round(63 * 19 / 19_999, 2) == 0.06
    assert comb(20_000 - 20, 63) / comb(19_999, 63) == pytest.approx(16 / 17, abs=0.002)


def test_of_online_products_fewer_than_one_anchor_in_a_hundred_has_a_positive():
    at_random, _ = EXPECTED.value()
    assert at_random < 0.01  # no more anchors than positives


def test_the_recording_is_as_large_as_the_text_says():
    record = recordings("sst")
    assert len(record.labels) == 500 and record.labels.unique(return_counts=True)[1].tolist() == [20] * 25

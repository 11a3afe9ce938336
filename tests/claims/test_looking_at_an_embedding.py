"""What the chapter on looking and its explorables claim about maps, mistakes and hubs."""

import inspect
import re
from functools import cache

import pytest
import torch
from scipy.stats import spearmanr

from dmlteach.course.exercises import looking
from dmlteach.course.widgets.tsne_grid import maps as tsne_maps
from dmlteach.plots.retrieval import occurrences, pick_queries, top_neighbours
from dmlteach.plots.tsne import kept_neighbours, tsne

SAID = ("question", "same", "mislead-text", "noise-text")  # cells that name the number of drawings


def clumps(page) -> float:
    """How near three companions are beside the twentieth, in the median over points: low where clumped."""
    points = torch.as_tensor(page).float()
    near = torch.cdist(points, points).sort(1).values
    return (near[:, 3] / near[:, 20]).median().item()


@pytest.fixture(scope="session")
def few(unseen):
    """Six drawings of each of a seed's characters: embeddings by network, and labels."""

    @cache
    def get(seed: int):
        of = unseen(seed)
        some = torch.arange(len(of.labels)) % 20 < 6
        return {name: z[some] for name, z in of.embeddings.items()}, of.labels[some]

    return get


# --- maps


def test_the_perplexity_alone_makes_islands_or_a_blob_of_one_embedding_and_other_numbers(
    mean_over_seeds, few
):
    def measure(seed):
        z = few(seed)[0]["sst"]
        pages = [tsne(z, perplexity=perplexity, seed=seed) for perplexity in (5, 95)]
        return {"islands ÷ blob": clumps(pages[0]) / clumps(pages[1])}

    assert mean_over_seeds(measure)["islands ÷ blob"] < 0.8  # 0.493 ± 0.027, 24 seeds
    recorded, settings = tsne_maps.load_maps(), tsne_maps.settings()
    of_sst = [i for i, setting in enumerate(settings) if setting.network == "sst"]
    assert len(of_sst) == 60  # "it differed between maps of one network", recorded
    assert recorded.recall[of_sst].max() > 1.2 * recorded.recall[of_sst].min()


def test_near_on_the_map_means_something_and_far_depends_on_the_start(mean_over_seeds, few, run_cells):
    def measure(seed):
        embeddings, labels = few(seed)
        z = embeddings["sst"]
        pages = [tsne(z, perplexity=30, seed=start, initialization="random") for start in (1, 2)]
        kept = [kept_neighbours(z.numpy(), page, k=10) for page in pages]
        space = run_cells(
            "looking_at_an_embedding",
            "distance",
            few_labels=labels,
            few=z,
            torch=torch,
            Text=str,
            maps={f"perplexity 30, random start {i}": page for i, page in enumerate(pages, 1)},
        )
        of_map = spearmanr(space["centre_distances"](z), space["centre_distances"](pages[0])).statistic
        chance = 10 / (len(z) - 1)
        return {
            "kept ÷ chance": min(kept) / chance,
            "kept": max(kept),
            "between starts": space["between"],
            "of the map": of_map,
        }

    mean = mean_over_seeds(measure)
    assert mean["kept ÷ chance"] > 8  # 20.8 ± 0.5, 24 seeds
    assert mean["kept"] < 0.9  # 0.704 ± 0.016
    assert mean["between starts"] < 0.95  # 0.66 ± 0.10
    assert mean["of the map"] < 0.9  # 0.631 ± 0.045


def test_a_small_perplexity_makes_no_groups_in_noise_and_islands_of_an_untrained_network(
    mean_over_seeds, few
):
    def measure(seed):
        z = few(seed)[0]["untrained"]
        noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed))
        small, large = tsne(noise, perplexity=3), tsne(noise, perplexity=30)
        companions = [kept_neighbours(noise.numpy(), page, k=1) for page in (small, large)]
        cloud = torch.randn(len(z), 2, generator=torch.Generator().manual_seed(seed))
        return {
            "companions, small ÷ large": companions[0] / companions[1],
            "clumps, noise ÷ cloud": clumps(small) / clumps(cloud),
            "clumps, network ÷ noise": clumps(tsne(z, perplexity=3)) / clumps(small),
        }

    mean = mean_over_seeds(measure)
    assert mean["companions, small ÷ large"] > 1  # 2.4 ± 0.6, 24 seeds: it ties each point to its nearest
    assert mean["clumps, noise ÷ cloud"] > 0.85  # 0.946 ± 0.036
    assert mean["clumps, network ÷ noise"] < 0.85  # 0.704 ± 0.047


def test_the_maps_show_as_many_drawings_as_the_text_says(cell):
    (line,) = (
        line
        for line in cell("looking_at_an_embedding", "two-maps").splitlines()
        if line.startswith("some = ")
    )
    labels = torch.arange(100).repeat_interleave(20)
    space = {"torch": torch, "z": torch.zeros(2000, 2), "labels": labels}
    exec(line, space)
    shown = int(space["some"].sum())
    said = [
        re.findall(r"(\d+) (?:drawings,|embeddings|points)", cell("looking_at_an_embedding", id))
        for id in SAID
    ]
    assert said == [[str(shown)]] * len(SAID)
    assert f"six of each of {shown // 6}" in cell("looking_at_an_embedding", "question")


# --- mistakes


@pytest.fixture(scope="session")
def missed(unseen):
    """(4, M) of each network, whether its first answer is wrong."""

    @cache
    def get(seed: int):
        of = unseen(seed)
        everyone = torch.arange(len(of.labels))
        first = [top_neighbours(z, everyone, k=1)[:, 0] for z in of.embeddings.values()]
        return torch.stack([of.labels[found] != of.labels for found in first])

    return get


def test_all_networks_fail_on_the_same_drawings_more_often_than_independence_predicts(
    mean_over_seeds, missed
):
    def measure(seed):
        wrong = missed(seed)
        return {"times": wrong.all(0).float().mean() / wrong.float().mean(1).prod()}

    assert mean_over_seeds(measure)["times"] > 5  # 1,400 ± 950, 24 seeds


def test_a_mistake_that_every_network_makes_is_about_the_drawing_another_network_makes_it_too(
    mean_over_seeds, missed
):
    def measure(seed):
        wrong = missed(seed)
        by_all, by_one = [], []
        for network in range(len(wrong)):
            others = wrong[torch.arange(len(wrong)) != network].sum(0)
            by_all.append(wrong[network][others == 3].float().mean())
            by_one.append(wrong[network][others == 1].float().mean())
        return {"by all": torch.stack(by_all).mean(), "by one": torch.stack(by_one).mean()}

    mean = mean_over_seeds(measure)
    assert mean["by all"] > 0.6  # 0.813 ± 0.078, 24 seeds
    assert mean["by all"] > mean["by one"] + 0.3  # by one 0.191 ± 0.022


def test_eight_random_queries_say_little_about_a_difference_of_a_few_percent(mean_over_seeds, unseen, missed):
    def measure(seed):
        labels, right = unseen(seed).labels, ~missed(seed)[-1]
        shares = [right[pick_queries(labels, 8, draw)].float().mean() for draw in range(200)]
        return {"spread": torch.stack(shares).std()}

    assert mean_over_seeds(measure)["spread"] > 0.04  # 0.064 ± 0.010, 24 seeds


# --- hubs


@pytest.mark.parametrize("seed", [1, 2, 3])  # of numbers drawn at random: the same everywhere
def test_the_more_dimensions_the_larger_the_hub_and_the_more_is_never_found(seed):
    largest, never = [], []
    for dimensions in (2, 16, 128):
        z = torch.randn(1000, dimensions, generator=torch.Generator().manual_seed(seed))
        count = occurrences(top_neighbours(z, torch.arange(1000), k=4), 1000)
        assert count.float().mean() == 4  # on average exactly
        largest.append(count.max().item())
        never.append((count == 0).float().mean().item())
    assert largest[1] > 2 * largest[0] and largest[2] > 2 * largest[1]
    assert never[0] < 0.05 and never[2] > 1.5 * never[1]


# --- on the networks that are shipped, the same bytes on every machine


def test_the_islands_of_the_untrained_network_are_real_and_most_hold_several_characters(run_cells):
    space = run_cells("looking_at_an_embedding", "load")
    some = torch.arange(2000) % 20 < 6
    space |= {"few": space["z"][some], "some": some, "few_labels": space["labels"][some]}
    space |= {"tsne": tsne, "tsne_panels": lambda *maps: None}
    space = run_cells("looking_at_an_embedding", "noise", "noise-numbers", **space)
    noise, untrained, sst = space["three"].values()
    assert noise < 0.03 and untrained > 10 * noise and 0.3 < untrained < 0.45 and sst > 0.8
    assert 10 * noise < space["islands"] < 0.5
    page = space["untrained_map"]
    assert clumps(page) < 0.85 * clumps(space["noise_map"])


def test_the_code_above_the_two_maps_does_not_say_how_they_were_drawn(cell):
    assert "perplexity" not in cell("looking_at_an_embedding", "two-maps") and "covered(" in cell(
        "looking_at_an_embedding", "same"
    )
    source = inspect.getsource(looking.two_maps)
    assert "perplexity=5," in source and "perplexity=190," in source  # as the later cell names them
    assert '"perplexity 5": map_a, "perplexity 190": map_b' in cell("looking_at_an_embedding", "mislead")

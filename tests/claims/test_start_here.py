"""What the chapter claims about untrained networks, classifiers and metric learning on unseen characters."""

import pytest
import torch

from dmlteach import data, models
from dmlteach.embeddings import embed
from dmlteach.metrics import recall_at_k
from dmlteach.plots.retrieval import top_neighbours


def recall(z, labels) -> float:
    return recall_at_k(z, labels, (1,))[1]


def first(z, labels):
    """(M,) label of the nearest other drawing."""
    return labels[top_neighbours(z, torch.arange(len(z)), k=1)[:, 0]]


def test_an_untrained_network_finds_the_right_character_many_times_as_often_as_guessing(
    mean_over_seeds, unseen
):
    def measure(seed):
        of = unseen(seed)
        guessing = 19 / (len(of.labels) - 1)
        return {"times": recall(of.embeddings["untrained"], of.labels) / guessing}

    assert mean_over_seeds(measure)["times"] > 10  # 30.3 ± 2.4, 24 seeds


def mistakes_left(reached: dict[str, float]) -> dict[str, float]:
    """Mistakes of the classifier and of SST, as shares of the untrained network's; and who is ahead."""
    left = {name: (1 - reached[name]) / (1 - reached["untrained"]) for name in ("softmax", "sst")}
    return left | {"ahead": reached["softmax"] - reached["sst"]}


def test_the_shipped_classifier_and_sst_are_far_better_than_an_untrained_network(mean_over_seeds, unseen):
    def measure(seed):
        of = unseen(seed)
        return mistakes_left({name: recall(z, of.labels) for name, z in of.embeddings.items()})

    mean = mean_over_seeds(measure)
    assert mean["softmax"] < 0.5  # 0.063 ± 0.023, 24 seeds
    assert mean["sst"] < 0.5  # 0.084 ± 0.025
    assert mean["ahead"] > -0.05  # 0.009 ± 0.007: the classifier is a strong competitor


def test_after_sixty_steps_classifier_and_sst_are_better_than_before(mean_over_seeds, unseen, trained):
    def measure(seed):
        of = unseen(seed)
        embeddings = {name: embed(trained(name, seed).model, of.images) for name in ("softmax", "sst")}
        embeddings["untrained"] = of.embeddings["untrained"]  # of the same seed, from which both start
        return mistakes_left({name: recall(z, of.labels) for name, z in embeddings.items()})

    mean = mean_over_seeds(measure)
    assert mean["softmax"] < 0.95  # 0.790 ± 0.064, 20 seeds
    assert mean["sst"] < 0.95  # 0.755 ± 0.075
    assert mean["ahead"] > -0.2  # -0.016 ± 0.035


def test_what_helps_was_learned_on_others_they_mend_many_of_the_untrained_networks_mistakes(
    mean_over_seeds, unseen
):
    def measure(seed):
        of = unseen(seed)
        right = {name: first(z, of.labels) == of.labels for name, z in of.embeddings.items()}
        return {name: right[name][~right["untrained"]].float().mean() for name in ("softmax", "sst")}

    mean = mean_over_seeds(measure)
    assert mean["softmax"] > 0.8  # 0.949 ± 0.018, 24 seeds
    assert mean["sst"] > 0.8  # 0.933 ± 0.021


def test_a_stroke_that_moves_a_little_changes_the_output_of_a_random_network_a_little(
    mean_over_seeds, unseen
):
    def measure(seed):
        images = unseen(seed).images
        drawings = torch.stack([images[i][0] for i in range(0, len(images), 5)]).float()  # (200, 1, 105, 105)
        model = models.create("omniglot_cnn", 128, seed=seed).eval()

        def embed_moved(by: int) -> torch.Tensor:
            pixels = torch.nn.functional.interpolate(drawings.roll(by, dims=3), size=28, mode="area")
            with torch.no_grad():
                return model((pixels / 255 - model.spec.mean[0]) / model.spec.std[0])

        z = embed_moved(0)
        apart = torch.pdist(z).mean()
        changed = {f"by {by}": (embed_moved(by) - z).norm(dim=1).mean() / apart for by in (1, 2, 4)}
        own = torch.cdist(embed_moved(1), z).argmin(1) == torch.arange(len(z))
        return changed | {"own is nearest": own.float().mean()}

    *changed, own = mean_over_seeds(measure).values()
    assert changed == sorted(changed)  # 0.307 ± 0.021, 0.491 ± 0.029, 0.653 ± 0.029, 24 seeds
    assert changed[0] < 0.4
    assert own > 0.95  # 0.9998 ± 0.001


def test_characters_of_one_alphabet_resemble_each_other(mean_over_seeds):
    train = data.load("omniglot", "train")

    def measure(seed):
        chosen = torch.randperm(train.num_classes, generator=torch.Generator().manual_seed(seed))[:100]
        images = train.subset_classes(chosen.tolist())
        alphabet = [name.split(" character")[0] for name in images.class_names]
        z = embed(models.create("omniglot_cnn", 128, seed=seed), images)
        found = first(z, images.labels)
        wrong = found != images.labels
        pairs = zip(images.labels[wrong].tolist(), found[wrong].tolist(), strict=True)
        shared = torch.tensor([alphabet[a] == alphabet[b] for a, b in pairs]).float().mean()
        chance = torch.tensor([alphabet[a] == alphabet[b] for a in range(100) for b in range(a)])
        return {"times": shared / chance.float().mean()}

    assert mean_over_seeds(measure)["times"] > 1.5  # 4.8 ± 0.9, 24 seeds


@pytest.mark.parametrize(("name", "size"), [("omniglot_cnn", 128), ("resnet50", 512)])
def test_with_a_hundred_thousand_classes_the_table_is_larger_than_the_network(name, size):
    network = models.create(name, size, seed=0)
    assert 100_000 * size > sum(p.numel() for p in network.parameters())


# --- on the networks that are shipped, the same bytes on every machine


def test_among_ten_characters_the_untrained_network_is_hardly_behind_and_among_all_it_is_far_behind(
    run_cells,
):
    space = run_cells("start_here", "first-load", "measure", torch=torch)
    space = run_cells("start_here", "by-hand", **space)
    assert space["by_hand"] == pytest.approx(space["by_library"])
    assert abs(space["by_library"][1] - space["untrained"][1]) < 0.1
    assert space["recall"]["sst"] > space["recall"]["untrained"] + 0.3
    everywhere = run_cells("start_here", "cards", data=data, dataset="omniglot", covered=str)
    assert everywhere["everything"] == 659
    for name, value in everywhere["everywhere"].items():  # the larger set is the harder one
        assert value < space["recall"].get(name, 1)


def test_what_was_measured_stays_folded_until_the_reader_has_predicted(cell):
    for id in ("measure", "measured-text", "cards", "side-said"):
        assert "covered(" in cell("start_here", id) and "print(" not in cell("start_here", id)

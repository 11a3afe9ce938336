"""What the chapter on training and its exercises claim about schedules, seeds and where the time goes."""

import pytest
import torch

from dmlteach import data, evaluate, losses, methods, models, samplers
from dmlteach.train import TrainConfig, fit
from dmlteach.train.optim import Schedule


def cosine(epochs: int) -> Schedule:
    return Schedule("cosine", {"warmup": 0.2}, epochs)  # as the recipes have it on Omniglot


@pytest.mark.parametrize("epochs", [1, 3, 12])
def test_the_rate_comes_down_to_zero_at_the_end_and_depends_on_the_number_of_epochs(epochs):
    schedule, longer = cosine(epochs), cosine(epochs + 2)
    assert schedule.factor(epochs) == pytest.approx(0, abs=1e-12)
    after_warmup = [0.2 + step * (epochs - 0.2) / 50 for step in range(1, 51)]
    rates = [schedule.factor(at) for at in after_warmup]
    assert rates == sorted(rates, reverse=True)
    assert all(longer.factor(at) > rate for at, rate in zip(after_warmup, rates, strict=True))


def test_half_a_batch_gives_noisier_gradients(mean_over_seeds):
    train = data.load("omniglot", "train", classes=60)
    pixels = data.cached(train, size=28, progress=False)

    def noise(seed: int, batch_size: int) -> float:
        """Mean squared deviation of the head's gradient over batches, as a share of its mean's square."""
        network = models.create("omniglot_cnn", 64, seed=seed).train()
        gradients = []
        while len(gradients) < 24:
            sampler = samplers.create("class_balanced", train.labels, batch_size, seed=seed + len(gradients))
            for rows in list(sampler)[:8]:
                z = network((pixels.gather(rows) / 255 - network.spec.mean[0]) / network.spec.std[0])
                (g,) = torch.autograd.grad(
                    losses.sst_loss(z, train.labels[list(rows)]), network.head.linear.weight
                )
                gradients.append(g.flatten())
        found = torch.stack(gradients)
        return ((found - found.mean(0)).square().sum(1).mean() / found.mean(0).square().sum()).item()

    mean = mean_over_seeds(lambda seed: {"half ÷ whole": noise(seed, 20) / noise(seed, 40)})
    assert mean["half ÷ whole"] > 1.3  # 1.84 ± 0.23, 20 seeds


def test_the_steps_with_a_bottleneck_read_every_image_anew_and_go_back_through_a_python_loop(run_cells):
    # What costs the time is counted, not timed: images decoded, and operations that backward goes through.
    space = run_cells("training_a_benchmark", "imports")
    space = run_cells("training_a_benchmark", "time", **space)
    images, stopwatch, counts = space["train"], space["stopwatch"], []

    class Counted:
        labels = images.labels

        def __getitem__(self, i):
            counts[-1]["decoded"] += 1
            return images[i]

    def counting(read=space["read_from_cache"], loss_of=losses.sst_loss, steps=2):
        counts.append({"decoded": 0, "operations": 0})

        def counted_loss(z, labels):
            loss = loss_of(z, labels)
            counts[-1]["operations"] += operations_behind(loss) - operations_behind(z)
            return loss

        return stopwatch(read=read, loss_of=counted_loss, steps=steps)

    run_cells("training_a_benchmark", "profiles", **space | {"train": Counted(), "stopwatch": counting})
    anew, good, loop = counts
    assert anew["decoded"] == 3 * 64 and good["decoded"] == loop["decoded"] == 0  # the first step warms up
    assert loop["operations"] > 20 * good["operations"] == 20 * anew["operations"]


def operations_behind(value: torch.Tensor) -> int:
    """Operations of which autograd keeps a record, to go back through them."""
    seen, waiting = set(), [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return len(seen)


def test_fewer_characters_are_easier_for_an_untrained_network_and_classes_cuts_the_test_set_too(
    mean_over_seeds,
):
    tests = {count: data.load("omniglot", "test", classes=count) for count in (30, 80)}
    assert [tests[count].num_classes for count in tests] == [30, 80]

    def measure(seed):
        network = models.create("omniglot_cnn", 128, seed=seed)
        few, more = (evaluate(network, test, device="cpu")["recall@1"] for test in tests.values())
        return {"on 30": few, "easier by": few - more}

    assert mean_over_seeds(measure)["easier by"] > 0.1  # 0.180 ± 0.019, 20 seeds


def test_what_stands_beside_the_numbers_is_the_runs_network_before_its_first_step_on_the_same_images(
    run_cells, tmp_path
):
    config = TrainConfig(
        method="sst", classes=10, batch_size=40, epochs=1, batches_per_epoch=1, seed=3,
        learning_rate=1e-30, device="cpu", progress=False, output=str(tmp_path / "run"),
    )  # fmt: skip
    result = fit(config)
    names = run_cells("training_a_benchmark", "imports") | {"config": config, "result": result, "seed": 3}
    names = run_cells("training_a_benchmark", "live-table", **names)
    (row,) = result.metrics["epochs"]
    one_query = 1 / len(names["val"])  # such a step changes nothing but, perhaps, a tie
    assert names["at_start"] == pytest.approx(row["val"]["recall@1"], abs=1.5 * one_query)
    test = data.load("omniglot", "test", classes=10)
    for numbers in (names["untrained"], names["final"]):
        assert (numbers["num_classes"], numbers["num_queries"]) == (test.num_classes, len(test))


def test_the_recipe_differs_from_the_authors_where_the_chapter_says_so():
    sst, triplet = methods.get("sst"), methods.get("triplet")
    assert (sst.backbone, sst.batch_size, sst.groups, sst.sampler) == ("resnet50", 256, {}, "local")
    changed = {name for name, value in vars(sst).items() if value != vars(triplet)[name]}
    assert changed == {"loss"}  # and so the triplet loss is given the targets of the epoch's start, as SST is
    assert {losses.create(name).uses for name in ("sst", "triplet")} == {frozenset({"targets"})}
    assert models.model.IMAGENET_FEATURE_SCALE == 0.1

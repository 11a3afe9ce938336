"""What the labs of chapters 08 and 09 claim holds for other seeds, too; the chapters' own cells are run."""

import importlib
import json
import os
import subprocess
import sys

import pytest
import torch

from dmlteach import course, losses

SEEDS = (0, 1, 2)


def cell(chapter: str, id: str) -> str:
    """Code of a cell of a chapter."""
    (path,) = (course.CHECKOUT / "notebooks").glob(f"{chapter}_*.ipynb")
    (source,) = (c["source"] for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["id"] == id)
    return "".join(source)


def run(names: dict, chapter: str, *ids: str) -> dict:
    """Run cells one after another among these names."""
    for id in ids:
        exec(compile(cell(chapter, id), f"<{chapter}, {id}>", "exec"), names)
    return names


# ── chapter 09: ways to fool yourself with a number ───────────────────────────────────────────────────


@pytest.fixture(scope="module", params=SEEDS, ids="seed {}".format)
def loaded(request) -> dict:
    """Names of chapter 09 after it has embedded its drawings: 100 characters, other ones for each seed."""
    return run(
        {"profile": "fast", "dataset": "omniglot", "seed": request.param, "device": "cpu"}, "09", "load"
    )


def test_a_layer_fitted_to_half_of_the_characters_looks_like_progress_on_a_mixed_test(loaded):
    changes = run(dict(loaded), "09", "trap-seen", "trap-seen-said")["changes"]
    fitted, others, mixed = (changes[name] for name in changes)
    assert fitted[1] > fitted[0] + 0.2
    assert others[1] < others[0] - 0.05
    assert mixed[1] > mixed[0] + 0.03
    assert abs(fitted[0] - others[0]) < 0.07  # before, the halves are about equally hard


def test_the_query_in_its_own_list_adds_a_little_map_at_r_and_most_to_the_worst_network(loaded):
    names = run(dict(loaded), "09", "trap-self")
    honest, leaky = names["honest"], names["leaky"]
    added = {name: leaky[name]["map@r"] - honest[name]["map@r"] for name in honest}
    assert all(scores["recall@1"] == 1 for scores in leaky.values())
    assert all(0 < gain < 0.1 for gain in added.values())
    assert min(honest, key=lambda name: honest[name]["map@r"]) == max(added, key=added.get) == "untrained"


def test_drawings_stored_twice_help_every_network_and_shrink_the_lead(loaded):
    names = run(dict(loaded), "09", "trap-self", "trap-twins")
    assert all(names["doubled"][name] > names["honest"][name]["recall@1"] for name in names["doubled"])
    assert names["lead"]["after"] < names["lead"]["before"] - 2
    drawings, stored = names["drawings"], names["stored"]
    assert names["copies"](drawings[stored]) == len(names["again"]) + names["copies"](drawings)


def test_with_right_ones_first_in_ties_a_coarser_embedding_scores_higher(loaded):
    names = run(dict(loaded), "09", "trap-ties", "trap-ties-said")
    kind = {name: first for name, (_, first, _) in names["ties"].items()}
    library = {name: last for name, (_, _, last) in names["ties"].items()}
    assert kind["as it is"] == pytest.approx(library["as it is"])
    assert kind["16 signs"] < kind["8 signs"] < kind["4 signs"] < kind["all in one place"] == 1
    assert library["16 signs"] > library["8 signs"] > library["4 signs"] == library["all in one place"] == 0
    assert kind["4 signs"] > 0.8


def test_an_untrained_network_is_ahead_of_sst_where_its_test_is_smaller(loaded):
    names = run(dict(loaded), "09", "trap-size")
    untrained, sst = zip(*names["by_size"].values(), strict=True)
    assert list(names["by_size"]) == [5, 20, 50, 100, 659]
    for column in (untrained, sst):
        assert list(column) == sorted(column, reverse=True)
    assert all(a < b for a, b in zip(untrained, sst, strict=True))
    assert untrained[0] > sst[-1] + 0.02


@pytest.mark.parametrize("seed", (0, 1, 2, 3))
def test_each_metric_names_another_winner_among_the_sets_made_by_hand(seed):
    names = run({"seed": seed, "torch": torch}, "09", "trap-metrics")
    cut = cell("09", "trap-metrics-table").partition("by_network")[0]
    exec("from dmlteach import metrics\n" + cut, names)
    scores = names["by_hand"]
    winners = [names["ranking"](scores, i) for i in range(3)]
    assert [order[0] for order in winners] == ["pairs", "rows", "groups"]
    assert all(scores[order[0]][i] > scores[order[1]][i] for i, order in enumerate(winners))  # not by a tie


# ── chapter 08: one process against two ───────────────────────────────────────────────────────────────


def names_of_chapter_08(seed: int) -> dict:
    names = run({}, "08", "imports")
    return names | {"dataset": "omniglot", "seed": seed, "device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where chapter 08 has written its program, from which it can be imported."""
    folder = tmp_path_factory.mktemp("runs")
    magic, _, program = cell("08", "two-program").partition("\n")
    assert magic == "%%writefile {runs}/two_ways.py"
    (folder / "two_ways.py").write_text(program, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(course.CHECKOUT), str(folder)]))
        yield folder
    sys.modules.pop("two_ways")


@pytest.fixture(scope="module")
def launched(folder) -> dict:
    """Names of chapter 08 after one and two real processes have run its program."""
    return run(names_of_chapter_08(seed=0) | {"runs": folder}, "08", "two-run", "two-said", "two-more")


def test_two_processes_train_as_one_in_the_library_and_not_in_the_naive_way(launched):
    one, two = launched["one"], launched["two"]
    torch.testing.assert_close(two["library"]["losses"], one["library"]["losses"], rtol=0, atol=1e-9)
    torch.testing.assert_close(two["library"]["gradient"], one["library"]["gradient"], rtol=0, atol=1e-9)
    assert one["naive"]["losses"] == one["library"]["losses"]  # alone, both ways are the same
    assert launched["apart"]("library") < 1e-9 < 1e-3 < launched["apart"]("naive")
    assert two["naive"]["losses"][-1] < two["naive"]["losses"][0]  # and it looks like a training


DISTRIBUTED_DATA_PARALLEL = """
import sys, torch
from torch.nn.parallel import DistributedDataParallel
from dmlteach import distributed, losses, models
from two_ways import load
with distributed.join(torch.device("cpu")) as world:
    images, labels, batches = load("omniglot", 0)
    mine = batches[0][world.rank :: world.size]
    network = models.create("omniglot_cnn", 64, seed=0).double()
    wrapped = DistributedDataParallel(network)
    losses.sst_loss(wrapped(images[mine]), labels[mine]).backward()
    if world.is_main:
        torch.save(torch.cat([p.grad.flatten() for p in network.parameters()]), sys.argv[1])
"""


def test_the_naive_way_is_what_distributed_data_parallel_does(launched, folder):
    (folder / "ddp.py").write_text(DISTRIBUTED_DATA_PARALLEL, encoding="utf-8")
    command = [*launched["starter"], str(folder / "ddp.py"), str(folder / "ddp.pt")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    gradient = torch.load(folder / "ddp.pt")
    torch.testing.assert_close(gradient, launched["two"]["naive"]["gradient"], rtol=0, atol=1e-9)


def test_averaging_shares_in_one_process_is_what_two_processes_did(launched):
    real = torch.cosine_similarity(launched["g"], launched["h"], 0).item()
    assert launched["cosines"][2][0] == pytest.approx(real, abs=1e-9)
    torch.testing.assert_close(launched["whole"], launched["one"]["naive"]["gradient"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_lose_the_direction_and_then_the_gradient(folder, seed):
    names = names_of_chapter_08(seed) | {"two_ways": importlib.import_module("two_ways")}
    cosines = run(names, "08", "two-more")["cosines"]
    dealt, blocks = zip(*cosines.values(), strict=True)
    assert list(cosines) == [2, 4, 8, 16]
    assert dealt[0] < 0.95 < blocks[0] < 1  # two processes: in blocks the direction is nearly right
    assert dealt[1:] == (None, None, None)  # one drawing of a character in each: no positive
    assert blocks[0] > blocks[1] > blocks[2] > 0
    assert blocks[3] is None  # one character in each: no negative


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "exact"), [("softmax", True), ("contrastive", False), ("proxy_nca", True), ("sst", False)]
)
def test_averaging_halves_is_exact_for_means_over_pictures_only(name, exact, seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(24, 4, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.arange(24) % 6
    options = {"num_classes": 6, "embedding_dim": 4} if name in ("softmax", "proxy_nca") else {}
    loss = losses.create(name, **options).double()
    followed = [z, *loss.parameters()]
    whole = torch.autograd.grad(loss(z, labels), followed)
    halves = sum(loss(z[half], labels[half]) for half in torch.arange(24).split(12)) / 2
    difference = max(
        (a - b).abs().max() for a, b in zip(whole, torch.autograd.grad(halves, followed), strict=True)
    )
    assert difference < 1e-12 if exact else difference > 1e-3

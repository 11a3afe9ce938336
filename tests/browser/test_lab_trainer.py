"""The embedding lab's training, in the page: its parts equal torch's; to watch it changes nothing."""

import base64

import pytest
import torch
from torch.nn.functional import one_hot

from dmlteach.course.widgets.embedding_lab.characters import SIDE, characters, pack, small
from dmlteach.course.widgets.embedding_lab.widget import training_source
from dmlteach.data import omniglot
from dmlteach.losses import sst_loss
from dmlteach.metrics import recall_at_k

SETTINGS = {
    "loss": "sst",
    "negatives": "all",
    "margin": 0.2,
    "batches": "classes",
    "rate": 1e-3,
    "width": 16,
    "turns": True,
    "shuffled": False,
    "seed": 0,
}


@pytest.fixture
def lab(page):
    """Runs the body of a function in the page, with the trainer's names at hand, and `given`."""
    page.evaluate("source => { window.source = source; }", training_source())

    def run(body: str, given=None):
        return page.evaluate(
            "([body, given]) => new Function('given', window.source + body)(given)", [body, given]
        )

    return run


def test_the_drawings_are_those_of_the_package_in_order():
    data = omniglot.load("train")
    told = characters()
    names = [name.rpartition(" character ")[0] for name in data.class_names]
    assert told["alphabets"] == list(dict.fromkeys(names)) and told["count"] == 600
    packed = base64.b64decode(told["packed"])
    size = SIDE * SIDE // 4
    for place, drawer in ((0, 0), (7, 3), (29, 19)):
        image, _ = data[names.index(told["alphabets"][place]) * 20 + drawer]
        row = 20 * place + drawer
        assert packed[row * size : (row + 1) * size] == pack(small(image[None]))


def test_an_area_keeps_its_ink():
    half = torch.zeros(1, 1, 100, 100, dtype=torch.uint8)
    half[..., :50, :] = 255
    half[..., 50:, ::3] = 255  # a third
    levels = small(half)[0]
    assert (levels[:10] == 3).all() and (levels[10:] == 1).all()


def test_the_page_unpacks_what_was_packed(lab):
    levels = torch.randint(4, (3, SIDE, SIDE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    given = {"packed": base64.b64encode(pack(levels)).decode(), "side": SIDE, "count": 3}
    images = lab("return unpackDrawings(given).map(image => [...image]);", given)
    torch.testing.assert_close(torch.tensor(images).view(3, SIDE, SIDE), levels.float() / 3)


def test_quarter_turns_are_those_of_torch(lab):
    image = torch.arange(16.0).view(4, 4)
    turned = lab("return [0, 1, 2, 3].map(t => quarterTurned(given, 4, t));", image.flatten().tolist())
    for turns, ours in enumerate(turned):
        assert torch.equal(torch.tensor(ours).view(4, 4), image.rot90(turns))


def test_three_steps_of_training_change_the_network_as_torch_does(lab):
    generator = torch.Generator().manual_seed(4)
    images = torch.rand(8, 9, generator=generator, dtype=torch.float64)
    images[images < 0.6] = 0  # most pixels are
    ours = lab(
        """
        const network = new Network(9, 5, 3, stream(1, 0), Float64Array), adam = new Adam();
        const listed = ([name, values]) => [name, [...values]];
        const copy = () => Object.fromEntries(Object.entries(network.parameters).map(listed));
        const before = copy(), labels = [0, 0, 1, 1, 2, 2, 3, 3];
        for (let step = 1; step <= 3; step++) {
            const { gradient } = sst({ z: network.forward(given), labels, size: 8, width: 3 });
            adam.step(network.parameters, network.backward(gradient), 0.01, step);
        }
        return [before, copy()];""",
        images.tolist(),
    )
    shapes = {"first": (9, 5), "firstBias": (5,), "second": (5, 3), "secondBias": (3,)}
    before, after = (
        {n: torch.tensor(v, dtype=torch.float64).view(shapes[n]) for n, v in p.items()} for p in ours
    )
    leaves = {name: value.requires_grad_() for name, value in before.items()}
    optimizer = torch.optim.Adam(leaves.values(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        hidden = (images @ leaves["first"] + leaves["firstBias"]).relu()
        z = hidden @ leaves["second"] + leaves["secondBias"]
        sst_loss(z, torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])).backward()
        optimizer.step()
    for name, value in after.items():
        torch.testing.assert_close(value, leaves[name].detach(), rtol=1e-8, atol=1e-8)  # steps are 1e-2


def test_recall_is_that_of_the_library(lab):
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(40) // 4
    z = 2 * one_hot(labels, 10).double() + torch.randn(40, 10, generator=generator, dtype=torch.float64)
    ours = lab("return retrieval(given[0].flat(), given[1], 10).recall;", [z.tolist(), labels.tolist()])
    assert 0.2 < ours < 0.95
    assert ours == pytest.approx(recall_at_k(z, labels, ks=(1,))[1])


def test_a_training_is_the_same_however_often_it_is_measured(lab):
    body = """
        const ends = [0, 1].map((often) => {
            const lab = new Lab(given[0], given[1]);
            for (let i = 0; i < 6; i++) { lab.train(); if (often) lab.measure(); }
            return [...lab.measure().z];
        });
        return ends[0].every((v, i) => v === ends[1][i]);"""
    for batches in ("random", "classes", "local"):
        assert lab(body, [characters(), {**SETTINGS, "batches": batches}])


@pytest.mark.parametrize("batches", ["random", "classes", "local"])
def test_batches_are_what_their_names_say(lab, batches):
    body = """
        const lab = new Lab(given[0], given[1]);
        const { width } = lab, z = lab.embed(lab.items.map((item) => item.image));
        return Array.from({ length: 30 }, () => {
            const rows = lab.nextBatch();
            const own = rows.flatMap((i) => [...z.subarray(i * width, (i + 1) * width)]);
            const apart = spread(own, rows.length, width) / spread(z, lab.items.length, width);
            return [rows, rows.map((i) => lab.items[i].label), apart];
        });"""
    made = lab(body, [characters(), {**SETTINGS, "batches": batches}])
    for rows, labels, _ in made:
        assert len(set(rows)) == len(rows) <= 40
        counts = torch.tensor(labels).bincount(minlength=80)
        if batches == "classes":
            assert sorted(counts[counts > 0].tolist()) == [5] * 8
        if batches == "local":
            assert 1 < (counts > 0).sum() < len(rows)
    apart = sum(apart for *_, apart in made) / len(made)
    assert apart < 0.8 if batches == "local" else apart > 0.9
    if batches == "random":  # an epoch shows each of the 1,600 once; 30 of its 40 batches share nothing
        assert len({row for rows, _, _ in made for row in rows}) == 1200


def test_shuffled_labels_keep_the_drawings_and_how_many_each_class_has(lab):
    body = "return given.map(s => new Lab(s[0], s[1]).items.map(item => item.label));"
    data = characters()
    plain, mixed = (
        torch.tensor(labels)
        for labels in lab(body, [[data, {**SETTINGS, "shuffled": shuffled}] for shuffled in (False, True)])
    )
    assert torch.equal(plain.bincount(), mixed.bincount())
    assert (plain == mixed).float().mean() < 0.15  # a twentieth by chance
    assert torch.equal(plain % 4, mixed % 4)

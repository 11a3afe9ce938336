"""What the embedding lab's named states are there to show, they show in nine of ten seeds (`--seeds 10`)."""

from urllib.parse import parse_qsl

import pytest

from dmlteach.course.widgets.embedding_lab.characters import characters
from dmlteach.course.widgets.embedding_lab.widget import source
from dmlteach.course.widgets.page import lab_page

START = {
    "loss": "triplet",
    "negatives": "all",
    "margin": 0.2,
    "batches": "classes",
    "rate": 0.001,
    "width": 16,
    "turns": True,
    "shuffled": False,
}
BESIDE = {
    "still": {"turns": False},
    "classes": {"batches": "classes"},
    "triplet": {"loss": "triplet", "negatives": "all", "margin": 0.2},
}
TRAIN = """([source, characters, settings, steps]) => {
    const { Lab } = new Function(source + "; return { Lab }")(), lab = new Lab(characters, settings);
    const trained = [], sum = (key, part) => part.reduce((total, result) => total + result[key], 0);
    const { unseen: untrained, spread: wide } = lab.measure();
    for (let i = 0; i < steps; i++) trained.push(lab.train());
    const first = trained.slice(0, 50), last = trained.slice(-50);
    return { ...lab.measure(), z: null, untrained, wide, first: sum("loss", first) / 50,
        loss: sum("loss", last) / 50, active: sum("active", last) / 50 };
}"""
RAW = 0.76  # unseen Recall@1 of raw pixels: tests/browser/test_lab_page.py compares it with the library's


@pytest.fixture
def named(page, tmp_path):
    """The settings behind a named state's button, and those of the lab beside it, as the address has them."""
    path = tmp_path / "lab.html"
    path.write_text(lab_page(), encoding="utf-8")

    def settings(button: str) -> list[dict]:
        page.goto(path.as_uri())
        page.wait_for_selector("[data-cloud]")
        page.click(f"button:text-is('{button}')")
        page.wait_for_function("location.hash.length > 1")
        told = dict(parse_qsl(page.evaluate("location.hash").lstrip("#")))
        page.goto("about:blank")  # its worker ends
        beside = told.pop("beside", None)
        own = START | {key: value_of(text) for key, text in told.items()}
        return [own, own | BESIDE[beside]] if beside else [own]

    return settings


def value_of(text: str):
    if text in ("true", "false"):
        return text == "true"
    return float(text) if text[0].isdigit() else text


@pytest.fixture
def shows(page, named, request):
    """Asserts that a state's labs, trained for some steps, fulfil a condition in nine of ten seeds."""

    def shows(button: str, steps: int, condition) -> None:
        script, drawings, states = source("losses") + source("trainer"), characters(), named(button)
        seeds, failed = request.config.getoption("--seeds"), {}
        for seed in range(seeds):
            given = [[script, drawings, {**state, "seed": seed}, steps] for state in states]
            labs = [page.evaluate(TRAIN, one) for one in given]
            if not condition(*labs):
                failed[seed] = labs
        assert len(failed) <= seeds / 10, failed

    return shows


def test_collapse_ends_with_the_loss_at_the_margin_and_all_in_one_place(shows):
    shows(
        "collapse",
        400,
        lambda lab: abs(lab["loss"] - 0.2) < 0.01 and lab["spread"] < 0.02 * lab["wide"],
    )


def test_with_shuffled_labels_the_loss_falls_and_unseen_characters_get_worse(shows):
    shows(
        "shuffled labels",
        400,
        lambda lab: lab["loss"] < 0.5 * lab["first"] and lab["unseen"] < lab["untrained"] - 0.03,
    )


def test_turns_and_shifts_pass_raw_pixels_and_without_them_it_stays_below(shows):
    shows("turns and shifts", 2000, lambda lab, still: still["unseen"] < RAW < lab["unseen"])


def test_local_batches_keep_more_tuples_active(shows):
    shows("local batches", 400, lambda lab, classes: lab["active"] > 1.4 * classes["active"])


def test_softmax_is_as_good_as_triplets(shows):
    shows("softmax", 2000, lambda lab, triplet: lab["unseen"] > triplet["unseen"] - 0.05)

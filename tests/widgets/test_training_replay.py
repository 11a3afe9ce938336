"""The training replay in the kernel: the recording is the library's, states are checked."""

import base64
import dataclasses
import html
import json
import math
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dmlteach import losses, models
from dmlteach.errors import DMLTeachError
from dmlteach.evaluate import embed
from dmlteach.metrics import recall_at_k
from dmlteach.pretrained import replay
from dmlteach.pretrained.__main__ import Recorder
from dmlteach.train import fit
from dmlteach.widgets import TrainingReplay
from dmlteach.widgets.training_replay import ABOUT, curves, packed

LAST = replay.COMMON["epochs"]
every_run = pytest.mark.parametrize("name", replay.RUNS)


@pytest.fixture(scope="module")
def before_training():
    """Embedding (500, 64) of the recorded drawings by the network that all runs start from, and labels."""
    recorder = Recorder()
    network = models.create("omniglot_cnn", replay.COMMON["embedding_dim"], seed=replay.COMMON["seed"])
    return embed(network, recorder.test, rows=recorder.rows), recorder.test.labels[recorder.rows]


class EnoughError(Exception):
    """Ends a training once what is compared has been seen."""


# --- the recording


@every_run
def test_before_training_every_curve_and_point_is_that_of_the_untrained_network(name, before_training):
    z, labels = before_training
    run = replay.replays()[name]
    assert run.recall[0] == pytest.approx(recall_at_k(z, labels, (1,))[1], abs=0.004)  # a tie in 500
    d = torch.cdist(z.double(), z.double())[labels[:, None] != labels]
    assert run.distance[0] == pytest.approx(d.mean().item(), rel=1e-4)
    expected = (z - z.mean(0))[replay.shown_of(labels)] @ run.directions
    torch.testing.assert_close(run.points[0], expected, atol=2e-3, rtol=0)


@every_run
def test_the_points_shown_are_a_part_of_the_distances_measured(name):
    run = replay.replays()[name]
    assert run.points.shape == (LAST + 1, replay.SHOWN * replay.DRAWINGS, 2)
    torch.testing.assert_close(run.directions.T @ run.directions, torch.eye(2), atol=1e-4, rtol=0)
    different = run.labels[:, None] != run.labels
    for points, distance in zip(run.points, run.distance, strict=True):
        # A projection only shortens; two of 64 directions, and 8 of the 25 characters.
        assert 0.02 * distance < torch.cdist(points, points)[different].mean() < 1.25 * distance


def train(name: str, epochs: int, **changes) -> tuple[list[float], list[float], list[float]]:
    """Loss, distance and Recall@1 of the first epochs of a recorded run, trained anew."""
    recorder = Recorder()

    def watch(run):
        recorder(run)
        if run.epoch == epochs:
            raise EnoughError

    with tempfile.TemporaryDirectory() as folder, pytest.raises(EnoughError):
        fit(dataclasses.replace(replay.configuration(name, f"{folder}/run"), **changes), after_epoch=watch)
    labels = recorder.test.labels[recorder.rows]
    return (
        recorder.loss,
        [replay.mean_distance(z, labels) for z in recorder.embeddings],
        [recall_at_k(z, labels, (1,))[1] for z in recorder.embeddings],
    )


@pytest.mark.slow
def test_training_again_gives_the_recorded_curve():
    run = replay.replays()["hardest"]
    loss, distance, recall = train("hardest", 2)
    assert loss[1:] == pytest.approx(run.loss[1:3], rel=0.02)
    assert distance == pytest.approx(run.distance[:3], rel=0.05)
    assert recall == pytest.approx(run.recall[:3], abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])  # the recording has seed 0
def test_with_other_seeds_too_the_hardest_collapse_and_the_active_only_look_like_it(seed):
    # Eight of the 24 epochs suffice.
    margin = curves()["hardest"]["line"]
    loss, distance, recall = train("hardest", 8, seed=seed)
    assert loss[-1] == pytest.approx(margin, rel=0.15) and distance[-1] < 0.05 * distance[0]
    assert recall[-1] > 0.8 * recall[0]
    loss, distance, recall = train("active", 8, seed=seed)
    assert loss[-1] == pytest.approx(margin, rel=0.15) and distance[-1] > 0.15 * distance[0]
    assert recall[-1] > recall[0] + 0.1
    loss, distance, _ = train("triplet", 8, seed=seed)
    assert loss[-1] < 0.7 * margin and distance[-1] > 0.1 * distance[0]


def test_the_line_of_a_triplet_loss_is_its_margin_and_that_of_sst_log_two():
    lines = {name: run.collapsed_loss for name, run in replay.replays().items()}
    for name, loss in (("triplet", "triplet"), ("hardest", "triplet_hard"), ("active", "triplet_all")):
        assert lines[name] == pytest.approx(losses.options(loss)["margin"].default)
    assert lines["sst"] == pytest.approx(math.log(2))
    margin = losses.options("contrastive")["margin"].default
    config = replay.resolve(replay.configuration("contrastive", ""))
    margin, k = config.loss_options.get("margin", margin), config.sampler_options["images_per_class"]
    share = (config.batch_size - k) / (config.batch_size - 1)  # of the pairs that are negative
    assert lines["contrastive"] == pytest.approx(share * margin**2 / 2, rel=1e-5)


def test_the_recording_is_small():
    path = Path(replay.__file__).with_name(replay.FILE)
    assert path.stat().st_size <= 200_000


# --- what the figure and the chapter claim


def test_only_the_hardest_triplets_collapse():
    ends = {name: curve["collapsed"][-1] for name, curve in curves().items()}
    assert ends == {name: name == "hardest" for name in ABOUT}
    assert not any(curve["collapsed"][0] for curve in curves().values())


def test_the_collapsed_loss_comes_to_rest_at_its_line_and_a_healthy_one_falls_below():
    assert curves()["hardest"]["loss"][-1] == pytest.approx(curves()["hardest"]["line"], rel=0.08)
    assert all(loss > curves()["hardest"]["line"] for loss in curves()["hardest"]["loss"][1:])
    for name in ("triplet", "sst", "contrastive"):
        assert curves()[name]["loss"][-1] < 0.9 * curves()[name]["line"]


def test_a_loss_at_the_line_alone_proves_nothing():
    active = curves()["active"]
    assert active["loss"][-1] == pytest.approx(active["line"], rel=0.15)
    assert active["distance"][-1] > 20 * curves()["hardest"]["distance"][-1]
    assert active["recall"][-1] > curves()["hardest"]["recall"][-1] + 0.2


def test_recall_hides_the_collapse():
    hardest = curves()["hardest"]
    assert hardest["recall"][-1] > 0.9 * hardest["recall"][0]
    assert hardest["distance"][-1] < 0.02 * hardest["distance"][0]


# --- the widget


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("left", "tripplet", "did you mean 'triplet'"),
        ("right", "softmax", "unknown recorded run 'softmax'"),
        ("epoch", -1, "0 .before training. to 24"),
        ("epoch", LAST + 1, "are recorded"),
        ("guess", "middle", "unknown prediction 'middle'"),
    ],
)
def test_a_state_that_cannot_be_is_refused_by_name(name, value, message):
    with pytest.raises(DMLTeachError, match=message):
        TrainingReplay(**{name: value})
    shown = TrainingReplay()
    before = getattr(shown, name)
    with pytest.raises(DMLTeachError, match=message):
        setattr(shown, name, value)
    assert getattr(shown, name) == before


def test_what_is_sent_to_the_page_is_the_recording():
    for name, run in replay.replays().items():
        sent = packed()["runs"][name]
        whole = np.frombuffer(base64.b64decode(sent["points"]), "<i2").reshape(LAST + 1, -1, 2)
        points = torch.from_numpy(whole * np.array(sent["unit"])[:, None, None]).float()
        for here, recorded in zip(points, run.points, strict=True):
            torch.testing.assert_close(here, recorded, atol=1e-4 * recorded.abs().max().item(), rtol=0)
        assert sent["recall"] == pytest.approx(run.recall, rel=1e-4)
        assert sent["loss"][0] is None and sent["loss"][1:] == pytest.approx(run.loss[1:], rel=1e-4)


def test_output_holds_the_widget_and_html_that_loads_nothing():
    data, _ = TrainingReplay(epoch=LAST, revealed=True)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    page = data["text/html"]
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(["']?http|\bimport\b""", page)
    state = json.loads(html.unescape(re.search(r'data-state="([^"]+)"', page)[1]))
    assert (state["left"], state["epoch"], state["revealed"]) == ("triplet", LAST, True)


def test_the_picture_says_what_it_shows_and_keeps_the_secret_until_then():
    def alt(**state):
        page = TrainingReplay(**state)._repr_mimebundle_()[0]["text/html"]
        return html.unescape(re.search(r'alt="([^"]+)"', page)[1])

    hidden = alt()
    assert "all drawings in one place would give 0.20" in hidden
    assert "collapsed" not in hidden and "hardest" not in hidden
    shown = alt(revealed=True, epoch=LAST)
    left, right = shown.split("Run B")
    assert "not collapsed" in left and "hardest" in right and "not collapsed" not in right


def test_the_module_and_its_data_are_small():
    assert len(TrainingReplay._esm.encode()) <= 40_000
    assert len(json.dumps(packed())) <= 500_000

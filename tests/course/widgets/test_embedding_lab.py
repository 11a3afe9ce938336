"""The embedding lab in the kernel: states are checked, and the output suits all hosts."""

import json

import pytest

from dmlteach.course.widgets import EmbeddingLab
from dmlteach.course.widgets.embedding_lab.widget import worker_source
from dmlteach.errors import DMLTeachError


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"loss": "tripplet"}, "did you mean 'triplet'"),
        ({"negatives": "some"}, "hardest"),
        ({"batches": "P x K"}, "classes"),
        ({"rate": 0.002}, "0.003"),
        ({"width": 3}, "16, 2"),
        ({"margin": -1}, "0 to 2"),
        ({"margin": float("nan")}, "0 to 2"),
        ({"seed": 1000}, "0 to 999"),
        ({"beside": "me"}, "still"),
    ],
)
def test_a_value_that_the_figure_does_not_have_is_refused_and_those_it_has_are_named(given, told):
    with pytest.raises(DMLTeachError, match=told):
        EmbeddingLab(**given)


def test_the_contrastive_loss_starts_with_a_margin_of_its_own():
    assert EmbeddingLab(loss="contrastive").margin == 1 and EmbeddingLab().margin == 0.2


def test_the_output_holds_the_picture_the_state_and_the_worker():
    lab = EmbeddingLab(loss="softmax", seed=3)
    data, _ = lab._repr_mimebundle_()
    assert "20 characters to learn from; 10 characters never shown" in data["text/plain"]
    assert json.dumps(worker_source()) in data["text/html"]
    assert "softmax" in data["text/html"] and lab.state["seed"] == 3
    assert len(data["text/html"]) <= 400_000

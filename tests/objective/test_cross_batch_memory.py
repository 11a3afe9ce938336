"""Cross-batch memory: first in, first out, and what an anchor is compared with."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.objective.cross_batch_memory import CrossBatchMemory


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.lists(st.integers(0, 12), max_size=6))
def test_the_memory_holds_the_last_embeddings_it_was_given(size, lengths):
    memory, plain = CrossBatchMemory(size, 2), []
    for step, n in enumerate(lengths):
        rows = [(float(step), float(i), 10 * step + i) for i in range(n)]
        table = torch.tensor(rows).reshape(n, 3)
        memory.add(table[:, :2], table[:, 1].long(), table[:, 2].long())
        plain = (plain + rows)[-size:]
    held = memory.labels >= 0
    assert sorted(map(tuple, memory.embeddings[held].tolist())) == sorted(r[:2] for r in plain)
    assert sorted(memory.images[held].tolist()) == sorted(r[2] for r in plain)


def test_older_views_of_the_batchs_own_images_are_left_out():
    memory = CrossBatchMemory(4, 1)
    memory.add(torch.ones(3, 1), torch.tensor([0, 1, 2]), torch.tensor([7, 8, 9]))
    _, labels = memory.reference(torch.tensor([8, 5]))
    assert labels.tolist() == [0, -1, 2, -1]
    assert memory.labels.tolist() == [0, 1, 2, -1]  # still remembered


def test_remembered_embeddings_carry_no_gradient():
    memory = CrossBatchMemory(2, 1)
    memory.add(torch.ones(2, 1, requires_grad=True), torch.zeros(2).long(), torch.arange(2))
    assert not memory.reference(torch.tensor([5]))[0].requires_grad


def test_an_empty_memory_is_refused():
    with pytest.raises(DMLTeachError, match="memory must be at least 1, not 0"):
        CrossBatchMemory(0, 4)

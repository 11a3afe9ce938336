"""Masks and masked sums that all losses share."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.losses import masked_logsumexp, pair_masks


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 8),
    st.sampled_from([1e-3, 1.0, 100.0, 1e8]),
    st.sampled_from([0.0, 0.4, 1.0]),
    st.integers(0, 2**31),
)
def test_masked_logsumexp_is_that_of_the_chosen_numbers(rows, columns, scale, share, seed):
    random = torch.Generator().manual_seed(seed)
    values = (torch.randn(rows, columns, generator=random, dtype=torch.float64) * scale).requires_grad_()
    mask = torch.rand(rows, columns, generator=random) < share
    ours = masked_logsumexp(values, mask)
    gradient = torch.autograd.grad(ours.nan_to_num(neginf=0.0).sum(), values)[0]
    for i in range(rows):
        chosen = values[i][mask[i]].detach().requires_grad_()
        if mask[i].any():
            truth = chosen.logsumexp(0)
            torch.testing.assert_close(ours[i], truth)
            torch.testing.assert_close(gradient[i][mask[i]], torch.autograd.grad(truth, chosen)[0])
        else:
            assert ours[i] == -torch.inf
        assert gradient[i][~mask[i]].eq(0).all()


def test_masked_logsumexp_passes_nan_on():
    values = torch.tensor([[1.0, torch.nan], [2.0, 3.0]])
    found = masked_logsumexp(values, torch.ones(2, 2, dtype=torch.bool))
    assert found[0].isnan()
    assert found[1] == pytest.approx(3.3132617)


def test_nothing_is_paired_with_itself_or_with_an_empty_row():
    y = torch.tensor([0, 0, 1])
    positive, negative = pair_masks(y)
    assert positive.tolist() == [[False, True, False], [True, False, False], [False] * 3]
    assert negative.tolist() == [[False, False, True], [False, False, True], [True, True, False]]
    positive, negative = pair_masks(y, torch.tensor([0, -1, 2]))
    assert positive.tolist() == [[True, False, False], [True, False, False], [False] * 3]
    assert negative.tolist() == [[False, False, True], [False, False, True], [True, False, True]]

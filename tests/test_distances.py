import pytest
import torch

from dmlteach.distances import (
    normalize,
    pairwise_cosine,
    pairwise_distances,
    pairwise_squared_distances,
    products,
)


def difference_d2(z):
    return (z[:, None] - z[None]).square().sum(-1)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_squared_distances_equal_direct_subtraction_far_from_the_origin_too(offset):
    z = torch.randn(50, 16, generator=torch.Generator().manual_seed(0)) + offset
    torch.testing.assert_close(
        pairwise_squared_distances(z), difference_d2(z.double()).float(), rtol=1e-3, atol=1e-3
    )


def test_squared_distances_are_zero_on_the_diagonal_and_never_negative():
    z = torch.randn(40, 8, generator=torch.Generator().manual_seed(0)) * 1e3
    z[20:] = z[:20]
    d2 = pairwise_squared_distances(z)
    assert d2.diagonal().eq(0).all()
    assert d2.ge(0).all()


def test_gradients_are_right():
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    for function in (pairwise_squared_distances, pairwise_distances, pairwise_cosine, normalize, products):
        assert torch.autograd.gradcheck(function, (z,))


def test_duplicates_and_zero_vectors_have_finite_gradients():
    z = torch.zeros(4, 3, requires_grad=True)
    (pairwise_distances(z).sum() + normalize(z).sum() + pairwise_cosine(z).sum()).backward()
    assert torch.isfinite(z.grad).all()


def test_autocast_does_not_make_them_coarse():
    z = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        inside = pairwise_squared_distances(z)
    assert torch.equal(inside, pairwise_squared_distances(z))


def test_distances_between_equal_points_give_no_gradient():
    z = torch.ones(4, 3, requires_grad=True)
    pairwise_distances(z).sum().backward()
    assert not z.grad.any()

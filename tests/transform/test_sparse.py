"""Sparse Jacobians and Hessians of functions."""

import pytest
import torch

import adjoint as ad


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_blocks_stand_in_the_structure_of_results_and_arguments() -> None:
    def function(p: dict[str, torch.Tensor], x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {'y': p['w'] * x[1:] + p['b'], 'z': x[:2] ** 2}

    p, x = {'w': drawn(3), 'b': drawn(3, seed=1)}, drawn(4, seed=2)
    found = ad.jacobian(function, argnums=(0, 1), sparse=True)(p, x)
    wanted = torch.func.jacrev(function, argnums=(0, 1))(p, x)
    for name in ('y', 'z'):
        for key in p:
            torch.testing.assert_close(found[name][0][key].to_dense(), wanted[name][0][key])
        torch.testing.assert_close(found[name][1].to_dense(), wanted[name][1])
    assert found['y'][0]['w'].values().numel() == 3
    assert found['z'][0]['w'].values().numel() == 0


def test_a_hessian_by_several_arguments_has_blocks() -> None:
    def function(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.sum(torch.sin(a) * b) + torch.sum(a[1:] * a[:-1] ** 2)

    a, b = drawn(4), drawn(4, seed=1)
    found = ad.hessian(function, argnums=(0, 1), sparse=True)(a, b)
    wanted = torch.func.jacrev(torch.func.jacrev(function, argnums=(0, 1)), argnums=(0, 1))(a, b)
    for i in range(2):
        for j in range(2):
            torch.testing.assert_close(found[i][j].to_dense(), wanted[i][j])
    assert [found[i][j].values().numel() for i, j in ((0, 0), (0, 1), (1, 0), (1, 1))] == [10, 4, 4, 0]


def test_what_a_sparse_jacobian_is_used_for_has_a_gradient() -> None:
    def roughness(x: torch.Tensor) -> torch.Tensor:
        return torch.sum(ad.jacobian(lambda x: torch.sin(x[1:] * x[:-1]), sparse=True)(x) ** 2)

    def dense(x: torch.Tensor) -> torch.Tensor:
        return torch.sum(torch.func.jacrev(lambda x: torch.sin(x[1:] * x[:-1]))(x) ** 2)

    x = drawn(5)
    torch.testing.assert_close(ad.grad(roughness)(x), torch.func.grad(dense)(x))


def test_misuse_is_explained() -> None:
    with pytest.raises(ad.ShapeError, match='must return a scalar'):
        ad.hessian(torch.sin, sparse=True)(drawn(3))
    with pytest.raises(ad.NonDifferentiableError, match='real numbers'):
        ad.jacobian(torch.sin, sparse=True)(torch.ones(2, dtype=torch.complex64))

"""Every transform can be told not to know zeros, and not to stabilise."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

import adjoint as ad
from tests.ops.case import t

Switched = Callable[..., Any]

AT, ONES = t([0.0, 2.0]), t([1.0, 1.0])


def logs(x: Any) -> Any:
    return torch.where(x > 0, torch.log(x), 0)


def masked(x: Any) -> Any:
    return logs(x).sum()


def root(x: Any) -> Any:
    return torch.sqrt(torch.where(x > 0, x, 0))


def squares(y: Any) -> Any:
    return (y * y).sum()


def node() -> ad.Node:
    return ad.Variable('x', (2,), torch.float64)


def at_nodes(make: Callable[[ad.Node], Any]) -> torch.Tensor:
    x = node()
    return ad.Evaluator([make(x)]).run({x: AT})[0]


SLOPES, CURVES = [[0, 0], [0, 0.125**0.5]], [[0, 0], [0, -0.25]]

# Each gives tensors that are right if zeros are known, and have a nan if they are not.
SAFE: Mapping[str, tuple[Switched, Any]] = {
    'grad': (lambda **how: ad.grad(masked, **how)(AT), [0, 0.5]),
    'value_and_grad': (lambda **how: ad.value_and_grad(masked, **how)(AT)[1], [0, 0.5]),
    'vjp': (lambda **how: ad.vjp(masked, AT, **how)[1](t(1.0))[0], [0, 0.5]),
    'jvp': (lambda **how: ad.jvp(root, (AT,), (ONES,), **how)[1], [0, 0.125**0.5]),
    'linearize': (lambda **how: ad.linearize(root, AT, **how)[1](ONES), [0, 0.125**0.5]),
    'jacrev': (lambda **how: ad.jacrev(logs, **how)(AT), [[0, 0], [0, 0.5]]),
    'jacfwd': (lambda **how: ad.jacfwd(root, **how)(AT), SLOPES),
    'jacobian': (lambda **how: ad.jacobian(masked, **how)(AT), [0, 0.5]),
    'sparse jacobian': (
        lambda **how: ad.jacobian(root, sparse=True, **how)(AT).to_dense(), SLOPES
    ),
    'hessian': (lambda **how: ad.hessian(masked, **how)(AT), CURVES),
    'sparse hessian': (
        lambda **how: ad.hessian(masked, sparse=True, **how)(AT).to_dense(), CURVES
    ),
    'hvp': (lambda **how: ad.hvp(masked, (AT,), (ONES,), **how)[0], [0, -0.25]),
    'ggnvp': (lambda **how: ad.ggnvp(logs, squares, (AT,), (ONES,), **how)[0], [0, 0.5]),
    'gradients': (lambda **how: at_nodes(lambda x: ad.gradients(masked(x), [x], **how)[0]), [0, 0.5]),
    'pushforward': (
        lambda **how: at_nodes(lambda x: ad.pushforward(root(x), {x: ad.ones_like(x)}, **how)),
        [0, 0.125**0.5],
    ),
    'jacobians': (
        lambda **how: at_nodes(lambda x: ad.jacobians(root(x), [x], mode='forward', **how)[0]),
        SLOPES,
    ),
    'hessians': (lambda **how: at_nodes(lambda x: ad.hessians(masked(x), [x], **how)[0][0]), CURVES),
    'hessian_products': (
        lambda **how: at_nodes(lambda x: ad.hessian_products(masked(x), [x], [ONES], **how)[0]), [0, -0.25]
    ),
    'sparse_jacobian': (
        lambda **how: at_nodes(lambda x: ad.sparse_jacobian(root(x), x, **how).dense), SLOPES
    ),
    'sparse_hessian': (
        lambda **how: at_nodes(lambda x: ad.sparse_hessian(masked(x), x, **how).dense), CURVES
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', SAFE)
def test_known_zeros_can_be_switched_off(name: str) -> None:
    run, wanted = SAFE[name]
    torch.testing.assert_close(run(), t(wanted), rtol=1e-13, atol=0)
    torch.testing.assert_close(run(nan_safe=True), t(wanted), rtol=1e-13, atol=0)
    assert run(nan_safe=False).isnan().any()


def softplus(x: Any) -> Any:
    return torch.log(1 + torch.exp(x))


HIGH = t(1e4)

# Each gives one number if the function is stabilised, and one that is not finite if it is not.
STABLE: Mapping[str, tuple[Switched, float]] = {
    'grad': (lambda **how: ad.grad(softplus, **how)(HIGH), 1),
    'value_and_grad': (lambda **how: ad.value_and_grad(softplus, **how)(HIGH)[0], 1e4),
    'vjp': (lambda **how: ad.vjp(softplus, HIGH, **how)[0], 1e4),
    'jvp': (lambda **how: ad.jvp(softplus, (HIGH,), (1.0,), **how)[1], 1),
    'linearize': (lambda **how: ad.linearize(softplus, HIGH, **how)[1](1.0), 1),
    'jacobian': (lambda **how: ad.jacobian(softplus, **how)(HIGH), 1),
    'jacrev': (lambda **how: ad.jacrev(softplus, **how)(HIGH), 1),
    'jacfwd': (lambda **how: ad.jacfwd(softplus, **how)(HIGH), 1),
    'hessian': (lambda **how: ad.hessian(softplus, **how)(HIGH), 0),
    'hvp': (lambda **how: ad.hvp(softplus, (HIGH,), (1.0,), **how)[0], 0),
    'ggnvp': (lambda **how: ad.ggnvp(softplus, squares, (HIGH,), (1.0,), **how)[0], 2),
    'vmap': (lambda **how: ad.vmap(softplus, **how)(HIGH[None])[0], 1e4),
    'jet': (lambda **how: ad.jet(softplus, (HIGH,), ((1.0,),), **how)[1][0], 1),
    'derivative': (lambda **how: ad.derivative(softplus, 1, **how)(HIGH), 1),
    'laplacian': (lambda **how: ad.laplacian(softplus, **how)(HIGH), 0),
    'directional': (lambda **how: ad.directional(softplus, HIGH, (t(1.0),), **how), 1),
}


@pytest.mark.parametrize('name', STABLE)
def test_a_function_can_be_taken_as_it_is_written(name: str) -> None:
    run, wanted = STABLE[name]
    torch.testing.assert_close(run(), t(wanted), rtol=1e-13, atol=0)
    torch.testing.assert_close(run(stabilize=True), t(wanted), rtol=1e-13, atol=0)
    assert not run(stabilize=False).isfinite().any()


def test_what_both_modes_build_without_the_switch_is_the_plain_graph() -> None:
    x, along = node(), node()
    y = ad.sqrt(ad.where(x > 0, x, 0))
    moved = ad.pushforward(y, {x: along}, nan_safe=False)
    assert moved is not None
    assert [n.op.name for n in ad.topological_sort(moved)].count('where') == 2


def test_the_switch_of_an_inner_transform_is_its_own() -> None:
    inner = ad.grad(softplus, stabilize=False)
    assert ad.vmap(inner)(HIGH[None]).isnan().all()
    assert ad.vmap(ad.grad(softplus), stabilize=False)(HIGH[None]).item() == 1

"""No gradient path of ours calls torch's autograd: it works with the engine and dual numbers broken."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch

import adjoint as ad
from tests.opinfo import op_db
from tests.opinfo_claims import full_name, trial

# Fast, and from every family: elementwise, reductions, products, indexing, linear algebra, networks.
NAMES = (
    'sin', 'lgamma', 'atan2', 'where', 'sum', 'prod', 'logsumexp', 'matmul', 'gather', 'index_put', 'cumsum',
    'linalg.solve', 'linalg.det', 'nn.functional.conv2d', 'nn.functional.layer_norm', 'nn.functional.gelu',
    'nn.functional.max_pool2d', 'nn.functional.cross_entropy', 'fft.fft', 'sort', 'softmax',
)  # fmt: skip


class Called(Exception):
    """Torch's autograd ran."""


def _raise(*_: Any, **__: Any) -> None:
    raise Called


class _BrokenEngine:
    """In the place of what runs every backward pass."""

    run_backward = _raise


@pytest.fixture
def broken_autograd() -> Iterator[None]:
    """Make every way into torch's autograd raise."""
    with (
        mock.patch.object(torch.autograd.Variable, '_execution_engine', _BrokenEngine()),
        mock.patch.object(torch.autograd, 'grad', _raise),
        mock.patch.object(torch.autograd, 'backward', _raise),
        mock.patch.object(torch.Tensor, 'backward', _raise),
        mock.patch.object(torch.autograd.forward_ad, 'make_dual', _raise),
        mock.patch.object(torch.autograd.forward_ad, 'enter_dual_level', _raise),
        mock.patch.object(torch.func, 'grad', _raise),
        mock.patch.object(torch.func, 'vjp', _raise),
        mock.patch.object(torch.func, 'jvp', _raise),
    ):
        yield


@pytest.mark.usefixtures('broken_autograd')
def test_the_fixture_breaks_autograd() -> None:
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(Called):
        (x * x).sum().backward()
    with pytest.raises(Called):
        torch.autograd.grad((x * x).sum(), x)


@pytest.mark.usefixtures('broken_autograd')
@pytest.mark.parametrize('name', NAMES)
def test_an_operator_is_differentiated_without_autograd(name: str) -> None:
    op = next(o for o in op_db if full_name(o) == name)
    sample, *_ = op.sample_inputs('cpu', torch.float64, requires_grad=True)
    made = trial(op, sample)
    assert made is not None
    graph = ad.from_torch(made.function, *[x.detach() for x in made.inputs])
    moving = [v for v, x in zip(graph.variables, made.inputs, strict=True) if x.requires_grad]
    value = next(n for n in graph.outputs if n.type is None or n.type.is_differentiable)
    grads = ad.gradients(value, moving)
    second = ad.gradients(grads[0], moving)
    tangents = ad.pushforward(value, {v: ad.ones_like(v) for v in moving})
    wanted = [value, *grads, *second, *([] if tangents is None else [tangents])]
    found = ad.Evaluator(wanted).run(graph.feed(*[x.detach() for x in made.inputs]))
    assert not any(t.requires_grad for t in found)

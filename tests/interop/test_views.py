"""Writes through views, and shapes that depend on sizes by name."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.autodiff.reverse import cotangents
from adjoint.interop.aten import WRITE_BACK
from tests.interop.compare import agrees_with_torch, close
from tests.ops.case import spread, spread_complex

Tensor = torch.Tensor
View = Callable[[Tensor], Tensor]

X = spread(4, 6)
C = spread_complex(4, 6)

VIEWS: dict[str, View] = {
    'as_strided': lambda a: a.as_strided((2, 3), (6, 2), 1),
    'diagonal': lambda a: a.diagonal(1),
    'expand_as': lambda a: a.expand_as(a)[2],
    'expand': lambda a: a.expand(-1, 6)[1],
    'flatten': lambda a: a.flatten()[3:9],
    'mT': lambda a: a.mT[1],
    'movedim': lambda a: a.movedim(0, 1)[:2],
    'movedims': lambda a: a.movedim((0, 1), (1, 0))[:2],
    'moveaxis': lambda a: a.moveaxis((0, 1), (1, 0))[:2],
    'narrow': lambda a: a.narrow(1, 2, 2),
    'of a view': lambda a: a[1:3].t()[2:4].reshape(2, 2),
    'permute': lambda a: a.permute(1, 0)[:, ::2],
    'select': lambda a: a[1],
    'select from the back': lambda a: a.select(-1, -2),
    'slice': lambda a: a[:, 1:5:2],
    'squeeze': lambda a: a.unsqueeze(1).squeeze(),
    'squeeze one': lambda a: a[:, None].squeeze(1)[2],
    'squeeze some': lambda a: a[:, None, None].squeeze((1, 2))[2],
    'swapaxes': lambda a: a.swapaxes(0, 1)[2:],
    't': lambda a: a.t()[1],
    'T': lambda a: a.T[1],
    'to its dtype': lambda a: a.to(a.dtype)[1],
    'to its device': lambda a: a.to(device='cpu', dtype=a.dtype)[1],
    'to another': lambda a: a.to(a)[1],
    'contiguous': lambda a: a.contiguous()[1],
    'transpose': lambda a: a.transpose(0, 1)[2:],
    'unflatten': lambda a: a.unflatten(1, (2, 3))[:, 1],
    'unfold': lambda a: a.unfold(1, 2, 3),
    'view': lambda a: a.view(2, 12)[1],
    'view_as': lambda a: a.view_as(torch.empty(6, 4))[1],
}

# torch refuses to record a derivative of writes to one of several views.
SEVERAL: dict[str, View] = {
    'chunk': lambda a: a.chunk(3, 1)[2],
    'split': lambda a: a.split(4, 1)[1],
    'split by sizes': lambda a: a.split([1, 3], 0)[1],
    'tensor_split': lambda a: a.tensor_split(4, 1)[1],
    'tensor_split at': lambda a: a.tensor_split([1, 2], 1)[2],
    'unbind': lambda a: a.unbind(1)[3],
}

COMPLEX: dict[str, View] = {
    'conj': lambda a: a.conj()[1],
    'imag': lambda a: a.imag[1],
    'real': lambda a: a.real[:, 2],
    'view_as_real': lambda a: torch.view_as_real(a)[1, :, 1],
    'view_as_complex': lambda a: torch.view_as_complex(torch.view_as_real(a))[1],
}


def _written(view: View) -> View:
    def program(a: Tensor) -> Tensor:
        whole = a * 2
        part = view(whole)
        part.mul_(3).add_(1.5)
        return whole * a

    return program


@pytest.mark.parametrize('name', VIEWS)
def test_write_through_a_view_reaches_its_base(name: str) -> None:
    agrees_with_torch(_written(VIEWS[name]), X)


@pytest.mark.parametrize('name', COMPLEX)
def test_write_through_a_part_of_complex_numbers_reaches_its_base(name: str) -> None:
    agrees_with_torch(_written(COMPLEX[name]), C)


@pytest.mark.parametrize('name', SEVERAL)
def test_write_through_one_of_several_views_reaches_its_base(name: str) -> None:
    program = _written(SEVERAL[name])
    graph = ad.from_torch(program, X)
    close(ad.Evaluator([graph.outputs]).run(graph.feed(X))[0], program(X))


def test_every_write_back_is_of_an_overload_that_torch_has() -> None:
    for name in WRITE_BACK:
        _, packet, overload = name.split('.')
        assert hasattr(getattr(torch.ops.aten, packet), overload), name


def _assigned(a: Tensor, b: Tensor) -> Tensor:
    a = a.clone()
    a[1:3, ::2] = b[:2, :3]
    a[0] = 5.0
    a[torch.tensor([0, 2]), torch.tensor([1, 1])] += b[0, 0]
    a[b > 0.5] = 0.0
    return a * b


def test_assignment_at_an_index() -> None:
    agrees_with_torch(_assigned, X, spread(4, 6, seed=1))


def _shifted(a: Tensor) -> Tensor:
    n = a.shape[0]
    steps = torch.arange(n - 1, dtype=a.dtype).unsqueeze(1)
    sums = (a[: n - 1] * steps).reshape(-1, 2, 3).sum(1)
    return sums + torch.ones(n - 1, 1, dtype=a.dtype) + a.new_full((n - 1, 1), 2.0)


def _masked(a: Tensor) -> Tensor:
    b, n = a.shape
    q, k = a.split(n // 2, 1)
    allowed = torch.tril(torch.ones(b, b, dtype=torch.bool))
    return torch.softmax((q @ k.t()).masked_fill(~allowed, -1e9), -1) @ k


def _tiled(a: Tensor) -> Tensor:
    joined = torch.cat([a, a * 2], 0).flip(0).roll(1, 0)
    return joined.repeat(2, 1)[a.shape[0] // 2 :].mean(0)


def _expanded(a: Tensor) -> Tensor:
    return a.expand(3, a.shape[0], 6).permute(2, 0, 1)[..., -1] + a.shape[0]


def _joined(a: Tensor) -> Tensor:
    return torch.stack(a.split([2, a.shape[1] - 2], 1)[1].unbind(1)[:2]).cumsum(0)


@pytest.mark.parametrize('program', [_shifted, _masked, _tiled, _expanded, _joined])
def test_one_import_serves_other_sizes(program: Callable[[Tensor], Tensor]) -> None:
    graph = ad.from_torch(program, X, dynamic_shapes={'x0': {0: 'n'}})
    x = spread(9, 6, seed=2).requires_grad_()
    value = program(x)
    ct: Any = spread(*value.shape, seed=3)
    ct_node = ad.Variable('ct')
    (grad,) = cotangents({graph.outputs: ct_node}, graph.variables)
    assert grad is not None
    got, pulled = ad.Evaluator([graph.outputs, grad]).run({**graph.feed(x.detach()), ct_node: ct})
    close(got, value.detach())
    close(pulled, torch.autograd.grad(value, x, ct)[0])

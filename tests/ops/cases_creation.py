"""Cases of inputs, constants, casts, and the parts of complex numbers."""

from collections.abc import Callable
from typing import Any

import torch

import adjoint as ad
from adjoint import Node
from adjoint.ops import ranges
from adjoint.ops.device import to_device, to_device_of
from adjoint.verify.samples import sample
from tests.ops.case import Case, Refusal, i, layouts, sized, spread, spread_complex, t, z

X = spread(2, 3)
C = spread_complex(2, 3)

_WEIGHTS = spread(3, seed=8)
_ZERO = (sample(t([1.0, 2.0])), (t([0.0, 0.0]),))
NO_STRING: Refusal = (sample('x'), ad.TensorTypeError, 'takes nodes')


def _weighted(x: Node) -> Node:
    return x * ad.constant(_WEIGHTS, 'weights')


def _with_detached(x: Node) -> Node:
    return x * ad.detach(x)


CREATION = {
    'placeholder': Case(lambda x: x, [sample(X), sample(C), sample(t(0.4))], lambda x: x),
    'constant': Case(
        _weighted,
        [sample(X)],
        lambda x: x * _WEIGHTS,
        refusals=[(sample('x'), ad.TensorTypeError, 'takes nodes')],
    ),
    'zeros_like': Case(
        ad.zeros_like,
        [sample(x) for x in [*layouts(), C]],
        torch.zeros_like,
        conventions=[_ZERO],
        refusals=[NO_STRING],
    ),
    'ones_like': Case(
        ad.ones_like,
        [sample(x) for x in [*layouts(), C]],
        torch.ones_like,
        conventions=[_ZERO],
        refusals=[NO_STRING],
    ),
    'alias': Case(lambda x: Node([x], ad.alias), [sample(x) for x in [*layouts(), C]], torch.clone),
    # Differences see through it, and the derivative does not: its claim is the convention.
    'detach': Case(
        lambda x: Node([x], ad.registry()['detach']),
        [],
        torch.clone,
        conventions=[_ZERO, (sample(C), (torch.zeros(2, 3),))],
    ),
    'detach/factor': Case(
        _with_detached,
        [],
        conventions=[(sample(t([3.0, -2.0])), (t([3.0, -2.0]),))],
    ),
}


def _cast(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return (x.real if x.is_complex() and not dtype.is_complex else x).to(dtype)


COMPLEX = {
    'conj': Case(
        ad.conj,
        [sample(X), sample(C), sample(C.mT), sample(z(0.3 + 0.4j)), sample(C[:0])],
        torch.conj_physical,
    ),
    'conj/twice': Case(lambda x: ad.conj(ad.conj(x)), [sample(C)], torch.clone),
    'real': Case(
        ad.real,
        [sample(X), sample(C), sample(C.conj()), sample(z(0.3 + 0.4j))],
        torch.real,
        conventions=[(sample(z([1 + 2j])), (z([1]),))],
    ),
    'imag': Case(
        ad.imag,
        [sample(X), sample(C), sample(C.conj()), sample(z(0.3 + 0.4j))],
        lambda x: x.imag if x.is_complex() else torch.zeros_like(x),
        conventions=[(sample(z([1 + 2j])), (z([1j]),))],
    ),
    'cast': Case(
        ad.cast,
        [
            sample(X, torch.float64),
            sample(X, torch.complex128),
            sample(C, torch.float64),
            sample(C, torch.complex128),
            sample(i([1, 2]), torch.float64),
        ],
        _cast,
        conventions=[
            (sample(t([1.5]), torch.float32), (t([1.0]),)),
        ],
        refusals=[(sample('x', torch.float32), ad.TensorTypeError, 'takes nodes')],
    ),
}


def made(op: Any, function: Callable[..., torch.Tensor], *calls: tuple[Any, ...], **kwargs: Any) -> Case:
    """An op without operands: what it makes, times a variable."""

    def build(x: Node, *args: Any, **options: Any) -> Node:
        return x * op(*args, **options)

    def reference(x: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        return x * function(*args, **options)

    samples = [sized(t(0.4), *call) for call in calls]
    return Case(build, [*samples, *([sized(t(0.4), *calls[0], **kwargs)] if kwargs else [])], reference)


def _triangle(row: int, col: int, offset: int = 0, *, upper: bool = False) -> torch.Tensor:
    return (torch.triu_indices if upper else torch.tril_indices)(row, col, offset)


RANGES = {
    'full': made(
        ranges.full, torch.full, ((2, 3), 0.5), ((), 2), ((0, 3), 1.5), ((2,), 0.5 + 1j), dtype=torch.float32
    ),
    'arange': made(ranges.arange, torch.arange, (0, 5), (1, 7, 2), (0.5, 2.0, 0.25), dtype=torch.float64),
    'linspace': made(ranges.linspace, torch.linspace, (0, 1, 5), (2.5, -1, 3), dtype=torch.float64),
    'logspace': made(ranges.logspace, torch.logspace, (0, 1, 5), (0, 3, 4, 2.0), dtype=torch.float64),
    'eye': made(
        ranges.eye,
        lambda n, m=None, **k: torch.eye(n, n if m is None else m, **k),
        (3,),
        (2, 3),
        dtype=torch.float64,
    ),
    'triangle_indices': made(ranges.triangle_indices, _triangle, (3, 2), (3, 4, 1), upper=True),
    'full_like': Case(
        ranges.full_like,
        [*(sample(x, 0.5) for x in layouts()), sample(C, 2), sample(X, 2, dtype=torch.int64)],
        torch.full_like,
        conventions=[(sample(t([1.0, 2.0]), 3.0), (t([0.0, 0.0]),))],
        refusals=[(sample('x', 0.5), ad.TensorTypeError, 'takes nodes')],
    ),
}

DEVICES = {
    # Where there is one device only, the value is all there is to see.
    'to_device': Case(
        lambda x: Node([x], to_device, {'device': torch.device('cpu')}), [sample(X), sample(C)], torch.clone
    ),
    'to_device_of': Case(to_device_of, [sample(X, i([1]))], lambda x, _: x.clone()),
}

CASES = CREATION | COMPLEX | RANGES | DEVICES

"""Cases of inputs, constants, casts, and the parts of complex numbers."""

import torch

import adjoint as ad
from adjoint import Node
from adjoint.verify.samples import sample
from tests.ops.case import Case, Refusal, i, layouts, spread, spread_complex, t, z

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

CASES = CREATION | COMPLEX

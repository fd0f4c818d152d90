"""The table of sums of entries of which some are masked, with values from mpmath; both modes run it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import mpmath
import torch

import adjoint as ad
from adjoint.ops.diagonal import diag_embed
from adjoint.ops.index import scatter_add
from adjoint.ops.padding import pad
from adjoint.ops.scatter import index_fill, index_put, masked_fill
from tests.ops.case import t

__all__ = ['ENTRYWISE', 'KINDS', 'Masked', 'derivatives', 'variable']

KINDS = ('untyped', 'typed', 'named')


@dataclass(frozen=True)
class Masked:
    """A sum of an entrywise function over the entries where a mask holds.

    Parameters
    ----------
    build
        From the variable to the node.
    at
        The values of the variable; some of them are where the function has a pole.
    smooth
        The function of one entry near another one, for mpmath.
    counts
        Whether an entry counts.
    """

    build: Callable[[ad.Node], ad.Node]
    at: Sequence[float]
    smooth: Callable[[Any, float], Any]
    counts: Callable[[float], bool] = field(default=lambda x: x > 0)


def _norm(x: ad.Node) -> ad.Node:
    squares = ad.sum(x[:, None] * x[:, None], -1, keepdim=True)
    return ad.where(squares > 0, x[:, None] / ad.sqrt(squares), 0)


def _log(x: Any, _: float) -> Any:
    return mpmath.log(x)


def _sqrt(x: Any, _: float) -> Any:
    return mpmath.sqrt(x)


ENTRYWISE = {
    'log': Masked(lambda x: ad.where(x > 0, ad.log(x), 0), (0, -1, 0.5, 3), _log),
    'sqrt, sliced': Masked(
        lambda x: ad.where(x > 0, ad.sqrt(x), 0)[1:], (9, 0, 0.5), _sqrt, lambda x: 0 < x < 9
    ),
    'sqrt, sliced alone': Masked(lambda x: ad.sqrt(x)[1:], (0, 0.5, 2), _sqrt),
    'the other operand': Masked(lambda x: ad.where(x <= 0, 0, ad.log(x)), (0, 0.5, 3), _log),
    'a chain': Masked(
        lambda x: ad.where(x > 0, ad.exp(2 * ad.log(ad.sqrt(x))) / x**1.5, 0),
        (0, 0.5, 3),
        lambda x, _: x**-0.5,
    ),
    'a product': Masked(
        lambda x: ad.where(x > 0, x * ad.log(x), 0), (0, 0.5, 3), lambda x, _: x * mpmath.log(x)
    ),
    'two masks': Masked(
        lambda x: ad.where(x > 0, ad.log(x), 0) + ad.where(x > 0.5, ad.log(x), 0),
        (0, 0.25, 3),
        lambda x, at: mpmath.log(x) * (2 if at > 0.5 else 1),
    ),
    'one in the other': Masked(
        lambda x: ad.where(x > 0, ad.where(x > 1, 1 / (x - 1), ad.log(x)), 0),
        (0, 0.25, 1, 3),
        lambda x, at: 1 / (x - 1) if at > 1 else mpmath.log(x),
    ),
    'both branches': Masked(
        lambda x: ad.where(x > 0, ad.log(x), ad.log(-x)), (-2, -0.5, 3), lambda x, _: mpmath.log(abs(x)), bool
    ),
    'transposed': Masked(
        lambda x: ad.where(x[None] > 0, ad.transpose(ad.log(x[:, None]), 0, 1), 0), (0, 0.5, 3), _log
    ),
    'reshaped': Masked(
        lambda x: ad.where(x > 0, ad.reshape(ad.reshape(ad.log(x), -1, 1), -1), 0),
        (0, 0.5, 3, -1),
        _log,
    ),
    'joined': Masked(
        lambda x: ad.where(x[1:] > 0, ad.cat([ad.log(x[1:3]), ad.sqrt(x[3:])]), 0),
        (5, 0, 0.5, 3, 0),
        lambda x, at: mpmath.log(x) if at == 0.5 else mpmath.sqrt(x),
        lambda x: 0 < x < 5,
    ),
    'padded': Masked(
        lambda x: ad.where(pad(x, (1, 1)) > 0, pad(ad.log(x), (1, 1)), 0), (0, 0.5, 3), _log
    ),
    'a reduction': Masked(
        lambda x: ad.where(x > 0, ad.sum(ad.log(ad.expand_as(x[:, None], x[:, None])), 1), 0),
        (0, 0.5, 3),
        _log,
    ),
    'relu': Masked(lambda x: ad.relu(ad.log(x)), (0, 0.5, 3), _log, lambda x: x > 1),
    'clamp': Masked(lambda x: ad.clamp(ad.sqrt(x), 1, 5), (0, 0.5, 3), _sqrt, lambda x: x > 1),
    'maximum': Masked(lambda x: ad.maximum(ad.sqrt(x), 1), (0, 0.5, 3), _sqrt, lambda x: x > 1),
    'minimum': Masked(lambda x: ad.minimum(ad.log(x), -5), (0.001, 3), _log, lambda x: x < 0.002),
    'nan_to_num': Masked(lambda x: torch.nan_to_num(ad.log(x)), (0, 0.5, 3), _log),
    'sqrt of a choice': Masked(lambda x: ad.sqrt(ad.where(x > 0, x, 0)), (-1, 0, 0.5, 4), _sqrt),
    'sqrt of the other choice': Masked(lambda x: ad.sqrt(ad.where(x <= 0, 0, x)), (-1, 0, 0.5, 4), _sqrt),
    'sqrt of two choices': Masked(
        lambda x: ad.sqrt(ad.where(x > 0, x, 0) + ad.where(x > 1, x, 0)),
        (-1, 0, 0.5, 4),
        lambda x, at: mpmath.sqrt(2 * x if at > 1 else x),
    ),
    'quotient of two choices': Masked(
        lambda x: ad.where(x > 0, ad.where(x > 0, x, 0) / ad.where(x > 1, x * x, 0) ** 0.5, 0),
        (-1, 0, 4),
        lambda x, _: x / x,
    ),
    'sqrt of a choice of a choice': Masked(
        lambda x: ad.sqrt(ad.where(x > 1, 2 * x, ad.where(x > 0, x, 0))),
        (-1, 0, 0.5, 4),
        lambda x, at: mpmath.sqrt(2 * x if at > 1 else x),
    ),
    'sqrt of relu': Masked(lambda x: ad.sqrt(ad.relu(x)), (-1, 0, 0.5, 4), _sqrt),
    'sqrt of clamp': Masked(
        lambda x: ad.sqrt(ad.clamp(x, 0, 9)), (-1, 0.5, 4, 10), _sqrt, lambda x: 0 < x < 9
    ),
    'root of maximum': Masked(lambda x: ad.maximum(x, 0) ** 0.5, (-1, 0.5, 4), _sqrt),
    'sqrt of filled': Masked(lambda x: ad.sqrt(masked_fill(x, x <= 0, 0.0)), (-1, 0, 0.5), _sqrt),
    'sqrt of filled at an index': Masked(
        lambda x: ad.sqrt(index_fill(x, 0, torch.tensor([0, 2]), 0.0)), (-1, 0.5, 0, 4), _sqrt
    ),
    'filled at an index': Masked(
        lambda x: index_fill(ad.log(x), 0, torch.tensor([0, 2]), 0.0), (-1, 0.5, 0, 4), _log
    ),
    'overwritten': Masked(
        lambda x: index_put(ad.log(x), [torch.tensor([0, 2])], 0.0), (-1, 0.5, 0, 4), _log
    ),
    'sqrt of padded': Masked(lambda x: ad.sqrt(pad(x, (1, 2))), (0.5, 4), _sqrt),
    'sqrt of joined': Masked(lambda x: ad.sqrt(ad.cat([x, ad.constant(t([0.0, 0.0]))])), (0.5, 4), _sqrt),
    'sqrt of a diagonal': Masked(lambda x: ad.sqrt(diag_embed(x)), (0.5, 4), _sqrt),
    'sqrt of what is put': Masked(
        lambda x: ad.sqrt(scatter_add(ad.constant(t([0.0] * 5)), 0, torch.tensor([3, 1]), x)), (0.5, 4), _sqrt
    ),
    'length of a choice': Masked(
        lambda x: ad.sqrt(ad.sum(ad.where(x[:, None] > 0, x[:, None], 0) ** 2, -1)),
        (-1, 0, 0.5, 4),
        lambda x, _: x,
    ),
    'sqrt of a product with a matrix': Masked(
        lambda x: ad.sqrt(ad.where(x > 0, x, 0)[:, None] @ ad.constant(t([[4.0]]))),
        (-1, 0, 0.5),
        lambda x, _: 2 * mpmath.sqrt(x),
    ),
    'sqrt of a broadcast choice': Masked(
        lambda x: ad.sqrt(ad.where(x > 0, x, 0)[:, None] * ad.constant(t([1.0, 4.0]))),
        (-1, 0, 0.5),
        lambda x, _: 3 * mpmath.sqrt(x),
    ),
    'norm': Masked(_norm, (0, 0.5, -3), lambda x, _: x / abs(x), bool),
}  # fmt: skip


def derivatives(case: Masked, order: int) -> list[float]:
    with mpmath.workdps(40):
        return [
            float(mpmath.diff(lambda z, at=at: case.smooth(z, at), at, order)) if case.counts(at) else 0.0
            for at in case.at
        ]


def variable(value: torch.Tensor, kind: str) -> ad.Node:
    if kind == 'untyped':
        return ad.Variable('x')
    return ad.Variable('x', ('n',) if kind == 'named' else value.shape, value.dtype)

"""The true value of a graph: each op by its definition, in mpmath, with exponents that cannot overflow."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mpmath
import numpy as np
import torch

import adjoint as ad
from adjoint.core.node import Node

# Enough for 1 + exp(-800) and for 1 - cos(1e-300).
DIGITS = 720
mp = mpmath.mp


def real(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function on real numbers: nan where it would be complex or has a pole in Python."""

    def safe(*args: Any) -> Any:
        try:
            value = function(*args)
        except (ZeroDivisionError, ValueError):
            return mp.nan
        return mp.nan if isinstance(value, mpmath.mpc) else value

    return safe


def quotient(a: Any, b: Any) -> Any:
    if b == 0:
        return mp.nan if a == 0 or mp.isnan(a) else mp.inf * mp.sign(a)
    return mp.nan if mp.isinf(a) and mp.isinf(b) else a / b


def product(a: Any, b: Any) -> Any:
    return a * b


UNARY = {
    'exp': mp.exp, 'log': mp.log, 'log1p': lambda x: mp.log(1 + x), 'expm1': lambda x: mp.exp(x) - 1,
    'sqrt': mp.sqrt, 'square': lambda x: x * x, 'neg': lambda x: -x, 'abs': abs, 'sin': mp.sin, 'cos': mp.cos,
    'tanh': mp.tanh, 'erf': mp.erf, 'ndtr': lambda x: mp.erfc(-x / mp.sqrt(2)) / 2,
    'sigmoid': lambda x: 1 / (1 + mp.exp(-x)),
}  # fmt: skip
BINARY = {
    'add': lambda a, b: a + b, 'sub': lambda a, b: a - b, 'mul': product, 'div': quotient,
    'pow': lambda a, b: a**b if b == 2 else mp.sqrt(a),
}  # fmt: skip


def along(node: Node, a: np.ndarray, reduce: Callable[[Sequence[Any]], Any]) -> np.ndarray:
    """A reduction of an array by a function on a list."""
    dim = node.attrs['dim']
    axes = tuple(range(a.ndim)) if dim is None else (dim,) if isinstance(dim, int) else dim
    axes = tuple(d % a.ndim for d in axes)
    rest = [i for i in range(a.ndim) if i not in axes]
    left = [a.shape[i] for i in rest]
    count = math.prod(a.shape[i] for i in axes)
    flat = a.transpose([*rest, *axes]).reshape(-1, count)
    out = np.empty(len(flat), dtype=object)
    out[:] = [reduce(list(row)) for row in flat]
    shape = [1 if i in axes else n for i, n in enumerate(a.shape)] if node.attrs['keepdim'] else left
    return out.reshape(shape)


def softmax(row: list[Any]) -> list[Any]:
    if any(mp.isinf(x) and x > 0 for x in row):
        return [mp.nan for _ in row]
    total = mp.fsum(mp.exp(x) for x in row)
    return [quotient(mp.exp(x), total) for x in row]


def det(a: np.ndarray) -> Any:
    return mp.det(mpmath.matrix(a.tolist()))


def value(node: Node, given: list[np.ndarray]) -> np.ndarray:
    """The value of one node."""
    name = node.op.name
    if name in UNARY:
        return np.asarray(np.frompyfunc(real(UNARY[name]), 1, 1)(given[0]), dtype=object)
    if name in BINARY:
        operands = node.op.operands(node, given)
        operands = [mp.mpf(o) if isinstance(o, (int, float)) else o for o in operands]
        return np.asarray(np.frompyfunc(real(BINARY[name]), 2, 1)(*operands), dtype=object)
    (a, *_) = given
    if name == 'softmax':
        return np.apply_along_axis(
            lambda row: np.array(softmax(list(row)), dtype=object), node.attrs['dim'], a
        )
    if name == 'det':
        return np.asarray(det(a), dtype=object)
    reductions = {
        'sum': sum,
        'vector_norm': lambda row: mp.sqrt(mp.fsum(x * x for x in row)),
        'mean': lambda row: sum(row) / len(row),
        'prod': lambda row: real(np.prod)(row),
    }
    if name == 'unsum':
        return np.broadcast_to(a, given[1].shape)
    return along(node, a, reductions[name])


def exact(output: Node, feed: Mapping[Node, torch.Tensor]) -> np.ndarray:
    """The true value of a node, as an array of mpmath numbers."""
    values: dict[Node, np.ndarray] = {}
    with mp.workdps(DIGITS):
        for node in ad.topological_sort(output):
            if node in feed:
                entries = [mp.mpf(x) for x in feed[node].flatten().tolist()]
                array = np.empty(len(entries), dtype=object)
                array[:] = entries
                values[node] = array.reshape(tuple(feed[node].shape))
            else:
                values[node] = value(node, [values[x] for x in node.inputs])
    return values[output]


def errors(got: torch.Tensor, want: np.ndarray, scale: float) -> np.ndarray:
    """How far values are from the truth, in units of the last place of the truth, or of a larger scale."""
    info = torch.finfo(got.dtype)
    found: list[float] = []
    with mp.workdps(DIGITS):
        for v, t in zip(got.flatten().tolist(), np.asarray(want, dtype=object).flatten(), strict=True):
            if mp.isnan(t) or abs(t) > info.max:  # rounded to infinity, or undefined
                same = math.isnan(v) if mp.isnan(t) else (v == float(mp.sign(t)) * float('inf'))
                found.append(0.0 if same else float('inf'))
            elif not math.isfinite(v):
                found.append(float('inf'))
            else:
                unit = info.eps * max(abs(t), mp.mpf(scale), mp.mpf(info.tiny))
                found.append(float(abs(mp.mpf(v) - t) / unit))
    return np.array(found)

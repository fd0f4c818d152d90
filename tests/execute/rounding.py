"""How far rounding can take a value: the graph is run again and again with noise at every node.

Each op of a program in floating point gives its true value times ``1 + e`` with ``|e|`` of some units of
rounding, and so does another program of the same function, whose intermediate values are those of the first
one but for that. A run in double precision in which every entry of every value (of the given ones too,
for the sums inside an op) is multiplied by such a number shows how far results then move. A rewrite that only
rounds in another way stays within a small multiple; one that is wrong does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

import adjoint as ad

__all__ = ['Reach', 'outside', 'reach']

# Units of rounding at each node, and how many runs: that all of these miss what happens at a jump, or have an
# entry within a tenth of its spread, has a chance of 1e-6.
_UNITS = 4.0
_RUNS = 6
# What an op's own kernel may sum up beside that, as a multiple of the spread.
_FACTOR = 8.0
# Beyond these float32 overflows or loses digits, which double precision does not show.
_LARGEST, _SMALLEST = 1e18, 1e-18


@dataclass
class Reach:
    """What a result may be.

    Parameters
    ----------
    value
        Without noise, in double precision where it has a fractional part.
    spread
        How far noise takes it, entry by entry; infinite where there is no telling.
    """

    value: torch.Tensor
    spread: torch.Tensor


def reach(outputs: Sequence[ad.Node], values: Mapping[ad.Node, torch.Tensor]) -> list[Reach] | None:
    """Return what each output may be; nothing where a value on the way is beyond single precision."""
    exact = run(outputs, values, None)
    if exact is None:
        return None
    generator = torch.Generator().manual_seed(0)
    spreads = [torch.zeros(v.shape, dtype=torch.float64) for v in exact]
    for _ in range(_RUNS):
        noisy = run(outputs, values, generator)
        if noisy is None:
            return None
        for spread, plain, moved in zip(spreads, exact, noisy, strict=True):
            if plain.shape != moved.shape:  # its size depends on the data
                return None
            apart = (moved.to(wide(moved.dtype)) - plain.to(wide(plain.dtype))).abs()
            if not (plain.is_floating_point() or plain.is_complex()):
                apart = torch.where(apart > 0, torch.inf, 0.0)
            torch.maximum(spread, apart.nan_to_num(nan=torch.inf), out=spread)
    return [Reach(plain, spread) for plain, spread in zip(exact, spreads, strict=True)]


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype of double precision."""
    return torch.complex128 if dtype.is_complex else torch.float64


def run(
    outputs: Sequence[ad.Node], values: Mapping[ad.Node, torch.Tensor], generator: torch.Generator | None
) -> list[torch.Tensor] | None:
    """Run a graph in double precision, with noise of the precision that each node has."""
    found: dict[ad.Node, Any] = {}
    with torch.no_grad():
        for node in ad.topological_sort(outputs, behind=values):
            if node in values:
                value: Any = values[node]
            else:
                value = node.op.compute(node, [found[x] for x in node.inputs])
            dtypes = _dtypes(node, value)
            parts = value if isinstance(value, tuple) else (value,)
            moved = tuple(_moved(p, d, generator) for p, d in zip(parts, dtypes, strict=True))
            if any(part is None for part in moved):
                return None
            found[node] = moved if isinstance(value, tuple) else moved[0]
    return [found[node] for node in outputs]


def _dtypes(node: ad.Node, value: Any) -> list[torch.dtype]:
    """The dtypes that the values of a node have in the graph as it is."""
    if not isinstance(value, tuple):
        known = None if node.type is None else node.type.dtype
        return [known or value.dtype]
    items = None if node.type is None else node.type.items
    known_items = items or [ad.TensorType() for _ in value]
    return [(t.dtype or v.dtype) for t, v in zip(known_items, value, strict=True)]


def _moved(value: torch.Tensor, dtype: torch.dtype, generator: torch.Generator | None) -> torch.Tensor | None:
    """A value in double precision, with noise; nothing where it is out of range."""
    if not (dtype.is_floating_point or dtype.is_complex):
        return value
    value = value.to(wide(value.dtype)) if value.is_floating_point() or value.is_complex() else value
    size = value.abs()
    if dtype in {torch.float32, torch.complex64} and bool(
        ((size > _LARGEST) | ((size < _SMALLEST) & (size > 0))).any()
    ):
        return None
    if generator is None or not (value.is_floating_point() or value.is_complex()):
        return value
    unit = _UNITS * torch.finfo(dtype).eps
    noise = torch.empty(value.shape, dtype=torch.float64).uniform_(-unit, unit, generator=generator)
    return value * (1 + noise)


def outside(found: torch.Tensor, may_be: Reach) -> torch.Tensor:
    """Return which entries are further away than rounding takes them; what is not finite has no place."""
    value, spread = may_be.value, may_be.spread
    if found.shape != value.shape:
        return torch.ones(())
    apart = (found.to(wide(found.dtype)) - value.to(wide(value.dtype))).abs()
    eps = torch.finfo(found.dtype).eps if found.is_floating_point() or found.is_complex() else 0.0
    tiny = torch.finfo(found.dtype).tiny if eps else 0.0
    allowed = _FACTOR * spread + 2 * eps * value.to(wide(value.dtype)).abs() + tiny
    unknown = ~value.isfinite() | ~spread.isfinite()
    return ~(apart <= allowed) & ~unknown

"""Types by inference: an op's own ``infer``, whose default runs ``compute`` on tensors without data.

Named sizes are probed: the op runs twice with different stand-ins for each name, and a size of the
result that equals the stand-in of a name both times is that name.
"""

import itertools
import re
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch

from adjoint.core.errors import AdjointError, ShapeError
from adjoint.core.extent import extents_of, names_in, value_of
from adjoint.core.meta import Shapes
from adjoint.core.tensor_type import Size, TensorType

if TYPE_CHECKING:
    from adjoint.core.node import Node

__all__ = ['infer_by_compute', 'infer_type']

# Stand-ins are large and divisible by small numbers, so that halving or reshaping a named size works.
# The second is for shapes of so many named sizes that their product overflows with the first.
_STRIDES = (60, 1)
_PRIMES = (101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181, 191)
_OTHER_PRIMES = (
    211,
    223,
    227,
    229,
    233,
    239,
    241,
    251,
    257,
    263,
    269,
    271,
    277,
    281,
    283,
    293,
    307,
)

_CACHE_LIMIT = 20_000
_PLAIN = (bool, int, float, complex, str, type(None), torch.dtype, torch.device)

# What torch says when an op asks a tensor without data for its data.
_NEEDS_DATA = re.compile(r'(?i:meta) (device|tensor|backend)|data is not allocated|data pointer')

# A pure cache: (op, attrs, types of the inputs) -> type. Cleared when full; losing an entry costs time.
_cache: dict[tuple[Any, ...], TensorType | None] = {}
_MISSING = object()


def infer_type(node: 'Node') -> TensorType | None:
    """Return the type of a node from those of its inputs, all of which have one.

    Returns
    -------
    TensorType or None
        ``None`` where it is not known before the run.

    Raises
    ------
    ShapeError
        The types are known and do not fit the op.
    """
    types = [t for x in node.inputs if (t := x.type) is not None]
    key = _key(node, types)
    if key is not None:
        found = _cache.get(key, _MISSING)
        if found is not _MISSING:
            return cast('TensorType | None', found)
    inferred = node.op.infer(node, types)
    if key is not None:
        if len(_cache) >= _CACHE_LIMIT:
            _cache.clear()
        _cache[key] = inferred
    return inferred


def _key(node: 'Node', types: list[TensorType]) -> tuple[Any, ...] | None:
    if not types:
        return None
    attrs: list[Any] = []
    for name, value in node.attrs.items():
        plain = isinstance(value, _PLAIN) or (
            isinstance(value, tuple) and all(isinstance(v, _PLAIN) for v in value)  # pyright: ignore[reportUnknownVariableType] of anything
        )
        if not plain:
            return None
        # 1, 1.0 and True are equal and give different dtypes.
        attrs.append((name, value.__class__, value))
    return (node.op, torch.get_default_dtype(), *attrs, *types)


def infer_by_compute(node: 'Node', types: Sequence[TensorType]) -> TensorType | None:
    """Run ``compute`` on meta tensors.

    Returns
    -------
    TensorType or None
        ``None`` where the number of axes of an input is not known, or the op cannot run without data.

    Raises
    ------
    ShapeError
        The op refuses operands of these types.
    """
    if any(t.shape is None for t in types):
        return None
    given = _given_sizes(node, types)
    names = sorted(names_in(given))
    unknown = sum(s is None for t in types for s in t.shape or ())
    results: list[list[torch.Tensor]] = []
    for primes in (_PRIMES, _OTHER_PRIMES) if names or unknown else (_PRIMES,):
        probed = _probe(node, types, names, unknown, primes)
        if probed is None:
            return None
        results.append(list(probed) if isinstance(probed, tuple) else [probed])
    stand_ins: dict[tuple[int, ...], str] = {}
    for stride in _STRIDES if names else ():
        first, second = (_bindings(names, primes, stride) for primes in (_PRIMES, _OTHER_PRIMES))
        # A name comes before an expression that happens to have its value.
        for size in (*given, *names):
            stand_ins[value_of(size, first), value_of(size, second)] = size
    knows_dtype = all(t.dtype is not None for t in types)
    device = next((t.device for t in types if t.device is not None), None)
    items: list[TensorType | None] = []
    for alike in zip(*results, strict=True):
        sizes = _sizes_of([tuple(r.shape) for r in alike], stand_ins)
        dtype = alike[0].dtype if knows_dtype else None
        items.append(None if sizes is None else TensorType(sizes, dtype, device))
    return items[0] if node.op.outputs == 1 else TensorType(items=tuple(items))


def _sizes_of(
    shapes: Sequence[tuple[int, ...]], stand_ins: dict[tuple[int, ...], str]
) -> tuple[Size, ...] | None:
    """Return the shape that the probes show; ``None`` where they differ in the number of axes."""
    if len({len(s) for s in shapes}) != 1:
        return None
    each_size = zip(*shapes, strict=True)
    return tuple(sizes[0] if len(set(sizes)) == 1 else stand_ins.get(sizes) for sizes in each_size)


def _given_sizes(node: 'Node', types: Sequence[TensorType]) -> list[str]:
    """Return the sizes by name, or by arithmetic of names, in the types of the inputs and in the attrs."""
    sizes = {s for t in types for s in t.shape or () if isinstance(s, str)}
    return sorted({*sizes, *map(str, extents_of(node.attrs))})


def _bindings(names: Sequence[str], primes: tuple[int, ...], stride: int) -> dict[str, int]:
    return {name: _stand_in(primes, i, stride) for i, name in enumerate(names)}


def _stand_in(primes: tuple[int, ...], position: int, stride: int) -> int:
    return primes[position % len(primes)] * stride * (1 + position // len(primes))


def _probe(
    node: 'Node',
    types: Sequence[TensorType],
    names: list[str],
    unknown: int,
    primes: tuple[int, ...],
) -> 'torch.Tensor | tuple[torch.Tensor, ...] | None':
    """Run ``compute`` without data; ``None`` where that says nothing."""
    # An operand of any dtype may have to be an index.
    guesses = [torch.get_default_dtype()]
    if any(t.dtype is None for t in types):
        guesses += [torch.int64, torch.bool]
    failure: Exception | None = None
    for stride in _STRIDES if names or unknown else (1,):
        for guess in guesses:
            sizes = _bindings(names, primes, stride)
            shapes = _stand_in_shapes(types, sizes, primes, stride)
            dtypes = [t.dtype or guess for t in types]
            result = _computed(node.with_sizes(sizes), shapes, dtypes)
            if not isinstance(result, Exception):
                return result
            failure = failure or result
        if failure is not None and 'overflow' not in str(failure):
            break
    if unknown or failure is None or 'overflow' in str(failure):
        return None
    raise _mismatch(node, types, failure)


def _stand_in_shapes(
    types: Sequence[TensorType], sizes: dict[str, int], primes: tuple[int, ...], stride: int
) -> list[list[int]]:
    """Return the shapes with a number for each name, and another for each size of which nothing is known."""
    fresh = (_stand_in(primes, i, stride) for i in itertools.count(len(sizes)))
    return [
        [next(fresh) if s is None else value_of(s, sizes) if isinstance(s, str) else s for s in t.shape or ()]
        for t in types
    ]


def _computed(
    node: 'Node', shapes: list[list[int]], dtypes: list[torch.dtype]
) -> 'torch.Tensor | tuple[torch.Tensor, ...] | Exception | None':
    """Return the result on tensors without data; what it raised; ``None`` where it needs the data."""
    try:
        with torch.no_grad(), Shapes(), nullcontext() if shapes else torch.device('meta'):
            values = [
                torch.empty(shape, dtype=dtype, device='meta')
                for shape, dtype in zip(shapes, dtypes, strict=True)
            ]
            result = node.op.compute(node, values)
    except NotImplementedError:
        return None
    except AdjointError:
        raise
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        return None if _NEEDS_DATA.search(str(error)) else error
    if node.op.outputs > 1:
        return tuple(result)
    return result if isinstance(result, torch.Tensor) else None


def _mismatch(node: 'Node', types: Sequence[TensorType], failure: Exception) -> ShapeError:
    operands = '\n'.join(
        f'  {position}: {t}    {operand.name}'
        for position, (operand, t) in enumerate(zip(node.inputs, types, strict=True))
    )
    reason = str(failure).strip().splitlines()[0] if str(failure).strip() else type(failure).__name__
    for name, size in _stand_ins_in(types):
        reason = reason.replace(size, name)
    attrs = f' with {node.attrs}' if node.attrs else ''
    return ShapeError(
        f'{node.op.name}{attrs} cannot work on these operands: {reason}\n{operands}\n{node.location}'
    )


def _stand_ins_in(types: Sequence[TensorType]) -> list[tuple[str, str]]:
    names = sorted(names_in(s for t in types for s in t.shape or () if isinstance(s, str)))
    return [(name, str(_stand_in(_PRIMES, i, _STRIDES[0]))) for i, name in enumerate(names)]

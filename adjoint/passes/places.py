"""Which entries of a tensor an index takes, as far as that is known before a run."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

__all__ = ['are_shared', 'places_of']


def places_of(index: Sequence[Any], shape: Sequence[int]) -> Mapping[int, range]:
    """Return the positions that an index takes along the axes of a tensor.

    Parameters
    ----------
    index : sequence
        Of numbers, slices, ``...`` and ``None``.
    shape : sequence of int
        Of the tensor.

    Returns
    -------
    mapping of int to range
        By axis; empty where a part of the index is something else than a number or a slice without steps.

    Examples
    --------
    >>> places_of((..., slice(1, 3)), (4, 5))
    {0: range(0, 4), 1: range(1, 3)}
    """
    parts = [part for part in index if part is not None]
    if ... in parts:
        first = parts.index(...)
        parts[first : first + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    found: dict[int, range] = {}
    for axis, (part, size) in enumerate(zip(parts, shape, strict=False)):
        if isinstance(part, bool):
            return {}
        if isinstance(part, int):
            found[axis] = range(part % size, part % size + 1)
        elif isinstance(part, slice) and _is_plain(cast('slice[Any, Any, Any]', part)):
            found[axis] = range(*cast('slice[Any, Any, Any]', part).indices(size))
        else:
            return {}
    return found


def _is_plain(part: 'slice[Any, Any, Any]') -> bool:
    return part.step in {None, 1} and all(isinstance(end, int | None) for end in (part.start, part.stop))


def are_shared(a: Mapping[int, range], b: Mapping[int, range]) -> bool:
    """Whether two indices may take an entry in common.

    Examples
    --------
    >>> are_shared({0: range(0, 1)}, {0: range(1, 2)}), are_shared({0: range(0, 1)}, {1: range(1, 2)})
    (False, True)
    """
    both = a.keys() & b.keys()
    return all(max(a[k].start, b[k].start) < min(a[k].stop, b[k].stop) for k in both)

"""Shapes, casts and values made of a shape: views where torch has one, and nothing where sizes agree."""

from typing import Any

import torch

from adjoint.core.extent import Extent
from adjoint.execute.facts import Fact
from adjoint.execute.kernels.table import Held, Place, Same, Table, Written
from adjoint.ops.creation import Constant, OnesLike, ZerosLike
from adjoint.ops.device import ToDeviceOf
from adjoint.ops.index import Gather, Getitem, IndexSelect, Slot
from adjoint.ops.linear import (
    Alias,
    Broadcast,
    BroadcastTo,
    Cast,
    Conj,
    ExpandAs,
    ExpandLike,
    Real,
    SumToLike,
)
from adjoint.ops.several import Item
from adjoint.ops.shape import (
    Cat,
    CatPart,
    Flatten,
    Permute,
    Reshape,
    ReshapeLike,
    Squeeze,
    Transpose,
    Unsqueeze,
)

__all__ = ['TABLE', 'cast_to']

TABLE = Table()


@TABLE.takes(Constant)
def _constant(place: Place) -> Held:
    return Held(place.node.attrs['constant'])


@TABLE.takes(ZerosLike, OnesLike)
def _like(place: Place) -> Written | Held | None:
    """Write zeros or ones: of known sizes without their operand, a single one as a constant."""
    (x,), own = place.given, place.own
    is_zeros = isinstance(place.node.op, ZerosLike)
    if own is None or x is None or own.dtype is not x.dtype:
        return None
    if own.entries == 1 and not place.is_returned:
        return Held(torch.full(own.shape, 0 if is_zeros else 1, dtype=own.dtype, device=own.device))
    if not own.is_contiguous:
        return None
    kernel = torch.zeros if is_zeros else torch.ones
    bound = {'kernel': kernel, 'shape': own.shape, 'dtype': own.dtype, 'device': str(own.device)}
    return Written('{kernel}({shape}, dtype={dtype}, device={device})', bound, ())


@TABLE.takes(Alias)
def _alias(_: Place) -> Same:
    return Same(0)


@TABLE.takes(Conj, Real)
def _of_complex(place: Place) -> Written | Same | None:
    (x,) = place.given
    if x is None:
        return None
    if not x.dtype.is_complex:
        return Same(0)
    return Written('{0}.conj()' if isinstance(place.node.op, Conj) else '{0}.real')


def cast_to(dtype: torch.dtype, x: Fact) -> str:
    """Return the end of an expression that casts it, and keeps the real part of a complex value."""
    if dtype is x.dtype:
        return ''
    return '.real.to({dtype})' if x.dtype.is_complex and not dtype.is_complex else '.to({dtype})'


def _cast(x: Fact, own: Fact, text: str) -> Written | Same:
    cast = cast_to(own.dtype, x)
    if not cast and text == '{0}':
        return Same(0)
    return Written(text + cast, {'dtype': own.dtype, 'shape': own.shape}, (0,))


@TABLE.takes(Cast)
def _to_dtype(place: Place) -> Written | Same | None:
    (x,), own = place.given, place.own
    return None if x is None or own is None else _cast(x, own, '{0}')


@TABLE.takes(ToDeviceOf)
def _to_device(place: Place) -> Same | None:
    x, like = place.given
    return Same(0) if x is not None and like is not None and x.device == like.device else None


@TABLE.takes(SumToLike)
def _sum_to_like(place: Place) -> Written | Same | None:
    x, like = place.given
    own = place.own
    if x is None or like is None or own is None:
        return None
    if not (like.dtype.is_floating_point or like.dtype.is_complex):
        return None
    if x.shape == own.shape:
        return _cast(x, own, '{0}')
    return _cast(x, own, '{0}.sum()' if own.shape == () else '{0}.sum_to_size({shape})')


@TABLE.takes(ExpandLike)
def _expand_like(place: Place) -> Written | Same | None:
    x, _ = place.given
    own = place.own
    if x is None or own is None:
        return None
    if x.shape == own.shape:
        return _cast(x, own, '{0}')
    bound = {'dtype': own.dtype, 'shape': own.shape}
    return Written('{0}' + cast_to(own.dtype, x) + '.expand({shape})', bound, (0,))


@TABLE.takes(ExpandAs, BroadcastTo, Broadcast)
def _expand(place: Place) -> Written | Same | None:
    x, own = place.given[0], place.own
    if x is None or own is None:
        return None
    if x.shape == own.shape:
        return Same(0)
    return Written('{0}.expand({shape})', {'shape': own.shape}, (0,))


@TABLE.takes(Reshape, ReshapeLike, Flatten, Squeeze, Unsqueeze)
def _reshape(place: Place) -> Written | Same | None:
    x, own = place.given[0], place.own
    if x is None or own is None:
        return None
    if x.shape == own.shape:
        return Same(0)
    if isinstance(place.node.op, Unsqueeze):
        return Written('{0}.unsqueeze({dim})', {'dim': place.node.attrs['dim']})
    if isinstance(place.node.op, Squeeze):
        return None
    kind = 'view' if x.is_contiguous else 'reshape'
    return Written(f'{{0}}.{kind}({{shape}})', {'shape': own.shape}, (0,))


@TABLE.takes(Transpose)
def _transpose(place: Place) -> Written | Same | None:
    (x,), attrs = place.given, place.node.attrs
    if x is None:
        return None
    axes = len(x.shape)
    first, second = sorted(d % max(axes, 1) for d in (attrs['dim0'], attrs['dim1']))
    if first == second:
        return Same(0)
    if (first, second) == (axes - 2, axes - 1):
        return Written('{0}.mT')
    return Written('{0}.transpose({first}, {second})', {'first': first, 'second': second})


@TABLE.takes(Permute)
def _permute(place: Place) -> Written:
    return Written('{0}.permute({dims})', {'dims': place.node.attrs['dims']})


@TABLE.takes(Cat)
def _cat(place: Place) -> Written:
    listed = ', '.join(f'{{{i}}}' for i in range(len(place.given)))
    bound = {'kernel': torch.cat, 'dim': place.node.attrs['dim']}
    return Written(f'{{kernel}}([{listed}], {{dim}})', bound)


@TABLE.takes(CatPart)
def _cat_part(place: Place) -> Written | None:
    if not place.shapes_are_known or place.own is None:
        return None
    whole, *parts = (fact for fact in place.given if fact is not None)
    dim: int = place.node.attrs['dim']
    position: int = place.node.attrs['position']
    start = sum(p.shape[dim] for p in parts[:position])
    bound = {'dim': dim, 'start': start, 'length': parts[position].shape[dim], 'dtype': place.own.dtype}
    text = '{0}.narrow({dim}, {start}, {length})' + cast_to(place.own.dtype, whole)
    return Written(text, bound, (0,))


@TABLE.takes(Item)
def _item(place: Place) -> Written:
    return Written('{0}[{position}]', {'position': place.node.attrs['position']})


@TABLE.takes(Getitem)
def _getitem(place: Place) -> Written:
    template: tuple[Any, ...] = place.node.attrs['index']
    if not template:
        return Written('{0}[()]')
    parts = ', '.join(_part(p) for p in template)
    return Written(f'{{0}}[{parts}{"," if len(template) == 1 else ""}]')


def _part(part: Any) -> str:
    if isinstance(part, Slot):
        return f'{{{part.position + 1}}}'
    if part is Ellipsis:
        return '...'
    if isinstance(part, slice):
        start, stop, step = (_bound(b) for b in (part.start, part.stop, part.step))  # pyright: ignore[reportUnknownVariableType] of anything
        return f'{start}:{stop}:{step}' if step else f'{start}:{stop}'
    return _bound(part) or 'None'


def _bound(value: Any) -> str:
    if isinstance(value, Extent):
        msg = f'the size {value!r} has no number yet'
        raise TypeError(msg)
    return '' if value is None else repr(int(value)) if not isinstance(value, bool) else repr(value)


@TABLE.takes(Gather)
def _gather(place: Place) -> Written:
    return Written('{kernel}({0}, {dim}, {1})', {'kernel': torch.gather, 'dim': place.node.attrs['dim']})


@TABLE.takes(IndexSelect)
def _index_select(place: Place) -> Written:
    return Written('{0}.index_select({dim}, {1})', {'dim': place.node.attrs['dim']})

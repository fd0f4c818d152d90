"""Symbolic sizes of imported programs: their names, and what a recording assumes of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import sympy
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from adjoint.core.errors import ShapeError, UnsupportedOpError
from adjoint.core.extent import Extent

__all__ = ['Sizes', 'named_axes']

_SMALLEST = 2


def named_axes(dynamic_shapes: Any, names: Sequence[str]) -> dict[str, dict[int, str]]:
    """Return, for each tensor of the arguments, the names of its axes whose size is free.

    Parameters
    ----------
    dynamic_shapes
        A mapping from the names of arguments to their axes, or a sequence in the order of the tensors. The
        axes are a mapping from position to name, or a sequence with ``None`` for fixed ones. A name is a
        string or a ``torch.export.Dim``.
    names
        Of the tensors among the arguments, in order.

    Raises
    ------
    ShapeError
        An argument is named that there is none of.
    """
    if dynamic_shapes is None:
        return {}
    if isinstance(dynamic_shapes, Mapping):
        given = dict(cast('Mapping[str, Any]', dynamic_shapes))
    else:
        given = dict(zip(names, dynamic_shapes, strict=False))
    unknown = [name for name in given if name not in names]
    if unknown:
        msg = f'dynamic_shapes names {unknown}, and the tensors among the arguments are {list(names)}'
        raise ShapeError(msg)
    return {name: dict(_axes(axes)) for name, axes in given.items() if axes}


def _axes(axes: Any) -> Iterator[tuple[int, str]]:
    is_mapping = isinstance(axes, Mapping)
    by_position: dict[int, Any] = dict(cast('Mapping[int, Any]', axes) if is_mapping else enumerate(axes))
    for position, dim in by_position.items():
        if dim is not None:
            yield position, dim if isinstance(dim, str) else dim.__name__


class _WithoutData(FakeTensorMode):
    """Tensors without data, also of the ops whose shapes torch leaves open."""

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func.overloadpacket is not torch.ops.aten._ctc_loss:  # noqa: SLF001 an op of ATen
            return super().__torch_dispatch__(func, types, args, kwargs)
        log_probs = args[0]
        # The second is for torch's backward alone; how large it is depends on the lengths of the targets.
        batch = log_probs.shape[1]
        return log_probs.new_empty(batch), log_probs.new_empty(batch, log_probs.shape[0], 1)


class Sizes:
    """The symbols of a recording, each with the name that the user gave it."""

    def __init__(self) -> None:
        self._env = ShapeEnv()
        self.mode = _WithoutData(allow_non_fake_inputs=True, shape_env=self._env)
        self._names: dict[sympy.Symbol, str] = {}

    def without_data(self, value: torch.Tensor, axes: Mapping[int, str]) -> torch.Tensor:
        """Return a tensor of the same type that holds nothing, with free sizes at the named axes.

        Raises
        ------
        ShapeError
            An example has a size at which a free one is not told from a fixed one, or from another.
        """
        if not axes:
            return self.mode.from_tensor(value, static_shapes=True)
        places = {position % value.ndim: name for position, name in axes.items()}
        kinds = [DimDynamic.DUCK if i in places else DimDynamic.STATIC for i in range(value.ndim)]
        context = cast('Any', StatelessSymbolicContext)(dynamic_sizes=kinds)
        made = self.mode.from_tensor(value, symbolic_context=context)
        for position, name in places.items():
            self._name(made.shape[position], name, value.shape[position])
        return made

    def _name(self, size: Any, name: str, example: int) -> None:
        if not isinstance(size, torch.SymInt):
            msg = (
                f'the size {name!r} is {example} in the examples, which programs treat as a special case: '
                f'give examples with at least {_SMALLEST}'
            )
            raise ShapeError(msg)
        symbol = cast('sympy.Symbol', size.node.expr)
        other = self._names.setdefault(symbol, name)
        if other != name:
            msg = (
                f'the sizes {other!r} and {name!r} are both {example} in the examples, and cannot be told '
                f'apart: give examples in which they differ'
            )
            raise ShapeError(msg)
        if [s for s, n in self._names.items() if n == name] != [symbol]:
            msg = f'the size {name!r} differs from axis to axis in the examples'
            raise ShapeError(msg)

    def extent(self, value: Any) -> int | float | bool | Extent:
        """Return a symbolic number of the recording: a plain one if it is known, else by name.

        Raises
        ------
        UnsupportedOpError
            It depends on the values of tensors.
        """
        if not isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)):
            return value
        expression: Any = cast('Any', value).node.expr
        if expression.is_number or expression in {sympy.true, sympy.false}:
            return _plain(expression)
        return Extent(self._written(expression))

    def _written(self, expression: Any) -> str:
        free = sorted(expression.free_symbols - self._names.keys(), key=str)
        if free:
            msg = 'a size or number that depends on the values of tensors is not supported'
            raise UnsupportedOpError(msg)
        return str(expression.xreplace({s: sympy.Symbol(n, integer=True) for s, n in self._names.items()}))

    def assumptions(self) -> list[str]:
        """Return what the recording took for granted of the named sizes, beside that none is 0 or 1.

        Raises
        ------
        ShapeError
            It took one for a number, or two for equal.
        """
        for symbol, name in self._names.items():
            fixed = self._env.replacements.get(symbol)
            if fixed is not None:
                given = f'the number {fixed}' if fixed.is_number else f'equal to {self._written(fixed)}'
                msg = f'the program takes the size {name!r} for {given}: leave it out of dynamic_shapes'
                raise ShapeError(msg)
        found: list[str] = []
        for guard in self._env.guards:
            expression: Any = self._env.simplify(guard.expr)
            if expression in {sympy.true, sympy.false} or not expression.free_symbols <= self._names.keys():
                continue
            found.append(self._written(expression))
        return list(dict.fromkeys(found))


def _plain(expression: Any) -> int | float | bool:
    """Return a number of sympy as one of Python."""
    if expression in {sympy.true, sympy.false}:
        return bool(expression)
    return int(expression) if expression.is_integer else float(expression)

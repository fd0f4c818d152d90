"""Samples: the arguments that a check calls an op or a function with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

import optree
import torch

from adjoint.core.node import Node
from adjoint.core.tensor_type import Size, TensorType
from adjoint.ops.creation import Variable

__all__ = ['KINDS', 'Arguments', 'Kind', 'Sample', 'as_sample', 'has_derivative', 'random_like', 'sample']

Kind: TypeAlias = Literal['untyped', 'typed', 'named']
"""Variables without a type; with sizes as numbers; with a name for every size other than 0 and 1."""

KINDS: tuple[Kind, ...] = ('untyped', 'typed', 'named')

# Random numbers are sixteenths up to 2: exact in every floating format, and short when printed.
_UNIT, _LARGEST = 16, 32


@dataclass(frozen=True, slots=True)
class Sample:
    """The arguments of one call; made by :func:`sample`.

    Parameters
    ----------
    args, kwargs
        What the op takes. Tensors in them, also inside lists, tuples and dicts, become variables.
    smooth : bool
        Whether the function is smooth there; at a kink numeric differences say nothing.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    smooth: bool = True

    def __str__(self) -> str:
        """Return the sample as a call: tensors by their types."""
        shown = [_shown(a) for a in self.args]
        shown += [f'{name}={_shown(value)}' for name, value in self.kwargs.items()]
        return f'({", ".join(shown)})'


def sample(*args: Any, smooth: bool = True, **kwargs: Any) -> Sample:
    """Return the arguments of one call of an op, to be given to ``check_op``.

    Parameters
    ----------
    *args
        What the op takes. Floating and complex tensors, also inside lists and tuples, are differentiated;
        integer and boolean ones are inputs that are not; everything else is passed as it is.
    smooth : bool
        ``False`` at a kink, a tie or a pole, where numeric differences say nothing.
    **kwargs
        As ``*args``.

    Examples
    --------
    >>> import torch
    >>> print(sample(torch.ones(2, 3), 1, keepdim=True))
    (float32[2, 3], 1, keepdim=True)
    """
    return Sample(args, kwargs, smooth)


def as_sample(given: Any) -> Sample:
    """Return a sample: itself, a tuple taken as arguments, anything else as the only argument."""
    if isinstance(given, Sample):
        return given
    return Sample(cast('tuple[Any, ...]', given) if isinstance(given, tuple) else (given,))


def has_derivative(value: torch.Tensor) -> bool:
    """Whether a tensor can be differentiated by: of a floating or complex dtype."""
    return value.is_floating_point() or value.is_complex()


def random_like(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return random sixteenths between -2 and 2 without 0, in the shape and dtype of a value."""

    def drawn() -> torch.Tensor:
        size = torch.randint(1, _LARGEST + 1, value.shape, generator=generator, dtype=torch.float64)
        sign = torch.randint(0, 2, value.shape, generator=generator, dtype=torch.float64) * 2 - 1
        return size * sign / _UNIT

    numbers = torch.complex(drawn(), drawn()) if value.is_complex() else drawn()
    return numbers.to(value)


class Arguments:
    """A sample with its tensors apart from the rest.

    Parameters
    ----------
    given : Sample
        The arguments.
    wide : bool
        Whether floating and complex tensors are taken in double precision.
    """

    def __init__(self, given: Sample, *, wide: bool) -> None:
        tree: Any = (given.args, given.kwargs)
        self._leaves, self._structure = optree.tree_flatten(tree)
        self._places = [i for i, leaf in enumerate(self._leaves) if isinstance(leaf, torch.Tensor)]
        own: list[torch.Tensor] = [self._leaves[i].detach() for i in self._places]
        self.values = [widened(v) for v in own] if wide else own
        self.is_wide = all(v is w for v, w in zip(own, map(widened, own), strict=True))

    def call(self, function: Callable[..., Any], operands: Sequence[Any]) -> Any:
        """Call a function with other operands in the places of the tensors."""
        leaves = list(self._leaves)
        for place, operand in zip(self._places, operands, strict=True):
            leaves[place] = operand
        args, kwargs = optree.tree_unflatten(self._structure, leaves)
        return function(*args, **kwargs)

    def variables(self, kind: Kind) -> list[Node]:
        """Return a variable of a kind for each tensor."""
        return [variable_like(value, kind, f'x{i}') for i, value in enumerate(self.values)]


def widened(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor in double precision, or itself where it is, or has no derivative."""
    if value.is_complex():
        return value.to(torch.complex128)
    return value.to(torch.float64) if value.is_floating_point() else value


def variable_like(value: torch.Tensor, kind: Kind, name: str) -> Node:
    """Return a variable of a kind for a tensor."""
    if kind == 'untyped':
        return Variable(name)
    sizes: list[Size] = [f'n{s}' if kind == 'named' and s > 1 else s for s in value.shape]
    return Variable(name, sizes, value.dtype)


def is_true_of(known: TensorType, value: torch.Tensor, sizes: Mapping[Size, int]) -> bool:
    """Whether what is known of a type holds for a value, with the sizes that names stand for."""
    if known.items is not None:
        return all(
            item is None or is_true_of(item, v, sizes) for item, v in zip(known.items, value, strict=True)
        )
    if known.dtype not in {None, value.dtype} or known.device not in {None, value.device}:
        return False
    if known.shape is None:
        return True
    return len(known.shape) == value.ndim and all(
        wanted is None or sizes.get(wanted, wanted) == size
        for wanted, size in zip(known.shape, value.shape, strict=True)
    )


def _shown(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return str(TensorType.of(value))
    if isinstance(value, (list, tuple)):
        parts = ', '.join(_shown(v) for v in cast('Sequence[object]', value))
        return f'[{parts}]' if isinstance(value, list) else f'({parts})'
    return repr(value)

"""Samples: the arguments that a check calls an op or a function with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import optree
import torch

from adjoint.core.node import Node
from adjoint.core.tensor_type import Size
from adjoint.ops.creation import Variable

__all__ = ['Inputs', 'Sample', 'sample']


@dataclass(frozen=True, slots=True)
class Sample:
    """The arguments of one call; made by :func:`sample`.

    Parameters
    ----------
    args, kwargs
        What the op takes. Tensors in them, also inside lists and tuples, become variables.
    smooth : bool
        Whether the function is smooth there; at a kink numeric differences say nothing and are skipped.
    named : bool
        Whether sizes may be replaced by names; not where an argument holds sizes as numbers.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    smooth: bool = True
    named: bool = True

    def inputs(self) -> 'Inputs':
        """Return the sample with its tensors apart from the rest."""
        tree: Any = (self.args, self.kwargs)
        leaves, structure = optree.tree_flatten(tree)
        return Inputs(leaves, structure)

    def __str__(self) -> str:
        """Return the sample as a call: tensors by their types."""
        shown = [_shown(a) for a in self.args]
        shown += [f'{name}={_shown(value)}' for name, value in self.kwargs.items()]
        return f'({", ".join(shown)})'


def sample(*args: Any, smooth: bool = True, named: bool = True, **kwargs: Any) -> Sample:
    """Return the arguments of one call of an op, to be given to ``check_op``.

    Parameters
    ----------
    *args, **kwargs
        What the op takes. Floating and complex tensors, also inside lists and tuples, are differentiated;
        integer and boolean ones are inputs that are not; everything else is passed as it is.
    smooth : bool
        ``False`` at a kink, a tie or a pole, where numeric differences say nothing.
    named : bool
        ``False`` where an argument holds sizes as numbers, which names cannot stand for.

    Examples
    --------
    >>> import torch
    >>> print(sample(torch.ones(2, 3), 1, keepdim=True))
    (float32[2, 3], 1, keepdim=True)
    """
    return Sample(args, kwargs, smooth, named)


def _shown(value: object) -> str:
    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix('torch.')
        return f'{dtype}{list(value.shape)}'
    if isinstance(value, (list, tuple)):
        parts = ', '.join(_shown(v) for v in cast('Sequence[object]', value))
        return f'[{parts}]' if isinstance(value, list) else f'({parts})'
    return repr(value)


class Inputs:
    """A sample's leaves, its tensors told apart from the rest.

    Parameters
    ----------
    leaves : list
        All leaves of the arguments.
    structure : PyTreeSpec
        How they are nested.
    """

    def __init__(self, leaves: list[Any], structure: optree.PyTreeSpec) -> None:
        self._leaves = leaves
        self._structure = structure
        self._places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        self.values: list[torch.Tensor] = [leaves[i] for i in self._places]

    @property
    def differentiated(self) -> list[int]:
        """Positions, among the tensors, of those that have a derivative."""
        return [i for i, v in enumerate(self.values) if v.is_floating_point() or v.is_complex()]

    def call(self, function: Callable[..., Any], operands: Sequence[Any]) -> Any:
        """Call a function with other operands in the places of the tensors."""
        leaves = list(self._leaves)
        for place, operand in zip(self._places, operands, strict=True):
            leaves[place] = operand
        args, kwargs = optree.tree_unflatten(self._structure, leaves)
        return function(*args, **kwargs)

    def variables(self, kind: str) -> list[Node]:
        """Return a variable for each tensor.

        Parameters
        ----------
        kind : str
            ``'untyped'``; ``'typed'``; or ``'named'``, where each size but 0 and 1 is a name.
        """
        if kind == 'untyped':
            return [Variable(f'x{i}') for i in range(len(self.values))]
        made: list[Node] = []
        for i, value in enumerate(self.values):
            sizes: list[Size] = [_named(s) if kind == 'named' else s for s in value.shape]
            made.append(Variable(f'x{i}', sizes, value.dtype))
        return made


def _named(size: int) -> Size:
    return f'n{size}' if size > 1 else size

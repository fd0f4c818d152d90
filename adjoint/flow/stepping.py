"""A body run step by step, at little more than the cost of its kernels."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import torch

from adjoint.core.errors import ShapeError
from adjoint.core.graph import Run
from adjoint.core.node import Node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.body import Body

__all__ = ['Carried', 'Layouts', 'Over', 'Repeat', 'Stepping', 'layouts_of']

Layouts: TypeAlias = list[tuple[Any, ...]]
# From the carries, the slices of some steps, and the constants to the carries after these and their results.
Repeat: TypeAlias = Callable[
    [Sequence[torch.Tensor], Sequence[Sequence[torch.Tensor]], Sequence[torch.Tensor]],
    tuple[list[torch.Tensor], list[tuple[torch.Tensor, ...]]],
]
# From the carries, the sequences, the constants, the memory for the results of all steps, and the numbers of
# some steps to the carries after these.
Over: TypeAlias = Callable[
    [
        Sequence[torch.Tensor],
        Sequence[torch.Tensor],
        Sequence[torch.Tensor],
        Sequence[torch.Tensor],
        Iterable[int],
    ],
    list[torch.Tensor],
]


def layouts_of(values: Sequence[torch.Tensor]) -> Layouts:
    """Return what a program may depend on, of each value."""
    return [(x.shape, x.dtype, x.stride() if x.layout is torch.strided else None, x.device) for x in values]


class Stepping:
    """The run of a body that is called again and again, with values that are mostly laid out as before.

    While they are, one program is called, and nothing is looked up or checked.

    Parameters
    ----------
    body : Body
        What is run.
    """

    def __init__(self, body: Body) -> None:
        self._look_up = body.stepper
        self._program: Run | None = None
        self._layouts: tuple[Layouts, ...] = ()

    def __call__(self, values: Sequence[torch.Tensor], *layouts: Layouts) -> list[torch.Tensor]:
        """Return the values of the outputs.

        Parameters
        ----------
        values : sequence of torch.Tensor
            For the inputs of the body.
        *layouts
            Those of the values that are not laid out alike in every call.
        """
        if self._program is not None and layouts == self._layouts:
            return self._program(values)
        found, self._program = self._look_up(values)
        self._layouts = layouts
        return found

    def repeats(self, layouts: Layouts) -> Repeat | None:
        """Return the program as a loop of its own, once its results are laid out as what it was given.

        Parameters
        ----------
        layouts
            Those of the carries, as they are after the last call, which was given those of the carries alone.
        """
        found: Repeat | None = self._ability('repeat', layouts)
        return found

    def over(self, layouts: Layouts) -> Over | None:
        """Return the program as a loop over whole sequences, where it can be one; as :meth:`repeats`."""
        found: Over | None = self._ability('over', layouts)
        return found

    def _ability(self, name: str, layouts: Layouts) -> Any:
        if not getattr(self._program, 'steady', False) or self._layouts != (layouts,):
            return None
        return getattr(self._program, name, None)


class Carried:
    """The values that a loop carries from step to step, which stay of one type.

    Parameters
    ----------
    node : Node
        The loop, for messages.
    values : sequence of torch.Tensor
        The first ones.

    Attributes
    ----------
    values : list of torch.Tensor
        The present ones.
    layouts : list
        How they are laid out; the same object as long as that stays.
    """

    __slots__ = ('_node', 'layouts', 'values')

    def __init__(self, node: Node, values: Sequence[torch.Tensor]) -> None:
        self._node = node
        self.values = list(values)
        self.layouts = layouts_of(self.values)

    def become(self, after: list[torch.Tensor]) -> None:
        """Take the values after a step.

        Raises
        ------
        ShapeError
            One is of another type than before.
        """
        layouts = layouts_of(after)
        if layouts != self.layouts:
            self._check(layouts, after)
            self.layouts = layouts
        self.values = after

    def _check(self, layouts: Layouts, after: Sequence[torch.Tensor]) -> None:
        for k, (x, y) in enumerate(zip(self.layouts, layouts, strict=True)):
            if x[:2] != y[:2]:
                msg = (
                    f'carry {k} of a loop is {TensorType.of(self.values[k])} before a step and '
                    f'{TensorType.of(after[k])} after it, and has to stay of one type: start from what the '
                    f'body returns, or cast in the body\n{self._node.location}'
                )
                raise ShapeError(msg)

"""What an executor is: it makes the program that computes some nodes from values of one signature."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from adjoint.core.node import Node
from adjoint.passes.pipeline import Level

__all__ = ['Executor', 'Program', 'Task', 'with_copies']


@dataclass(frozen=True)
class Task:
    """What is computed.

    Parameters
    ----------
    outputs : tuple of Node
        The nodes whose values are wanted; one may stand there more than once.
    fed : tuple of Node
        The nodes that get values, in the order of these; nothing behind them is computed.
    level : {'none', 'bitwise', 'default', 'fast'}
        Which rewrites a program may apply.
    copied : tuple of int
        Positions of outputs of which a copy is returned, since rewrites made them share memory.
    budget : int, optional
        How many bytes a program may take beside the given values.
    """

    outputs: tuple[Node, ...]
    fed: tuple[Node, ...]
    level: Level = 'none'
    copied: tuple[int, ...] = ()
    budget: int | None = None


def with_copies(results: list[torch.Tensor], copied: Iterable[int]) -> list[torch.Tensor]:
    """Return results of which those at some positions are copies."""
    for i in copied:
        results[i] = results[i].clone()
    return results


class Program(Protocol):
    """What an executor made for values of one signature."""

    def __call__(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the values of the outputs for those of the fed nodes."""
        ...

    @property
    def source(self) -> str:
        """The program as a person reads it."""
        ...

    @property
    def state(self) -> str:
        """What runs, in a few words."""
        ...


class Executor(Protocol):
    """A way to run graphs.

    It may take from a signature whatever is the same for all of its values: shapes, dtypes, devices,
    strides, and torch's default dtype.
    """

    @property
    def at_first_sight(self) -> bool:
        """Whether a signature gets its program when it is first seen; else when it comes again."""
        ...

    def prepare(
        self, task: Task, values: Sequence[torch.Tensor], sizes: Mapping[str, int]
    ) -> tuple[Program, list[torch.Tensor]]:
        """Make the program for the signature of these values, and run it for the first time.

        Parameters
        ----------
        task : Task
            The nodes.
        values : sequence of torch.Tensor
            For the fed nodes; each fits the type of its node.
        sizes : mapping of str to int
            The sizes that the types name.

        Returns
        -------
        program : Program
            For all values of the signature.
        results : list of torch.Tensor
            Those of the first run.
        """
        ...

"""Recorded calls of control flow as nodes of ours: what was recorded between two marks becomes bodies."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch.utils import _pytree as pytree

from adjoint.core.births import births
from adjoint.core.errors import UnsupportedOpError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import TensorType
from adjoint.flow.cond import chosen
from adjoint.flow.loop import looped
from adjoint.flow.scan import scanned
from adjoint.flow.steps import Operands
from adjoint.interop.control import Call, Mark
from adjoint.interop.stored import Stored
from adjoint.ops.body import Body, variable_like
from adjoint.ops.creation import Variable

__all__ = ['Regions']


class _Region:
    """A call of which the functions are being read."""

    def __init__(self, env: Mapping[torch.fx.Node, Any]) -> None:
        self._stack = ExitStack()
        self.built = self._stack.enter_context(births())
        tensors = [v for v in pytree.tree_leaves([*env.values()]) if isinstance(v, Stored)]
        self.before = [(v.memory, v.memory.version) for v in tensors]
        self.inputs: list[Stored] = []

    def close(self) -> None:
        self._stack.close()


class Regions:
    """Reads the marks of a recording.

    Parameters
    ----------
    marks : mapping of torch.fx.Node to Mark
        By the nodes of the recording.
    refusal : callable
        Makes the error for what is not supported, at the line that is read.
    """

    def __init__(
        self, marks: Mapping[torch.fx.Node, Mark], refusal: Callable[[str], UnsupportedOpError]
    ) -> None:
        self.marks = marks
        self._refusal = refusal
        self._open: list[_Region] = []
        self._made: dict[Call, Sequence[Node]] = {}
        self._inputs: set[Node] = set()

    def close(self) -> None:
        """Forget calls of which the end was not reached."""
        while self._open:
            self._open.pop().close()

    def read(self, node: torch.fx.Node, env: Mapping[torch.fx.Node, Any]) -> Node | Stored | None:
        """Return what a marked node is: a stand-in, or a result; ``None`` for a start or end.

        Raises
        ------
        UnsupportedOpError
            A function writes to a tensor that exists outside it.
        """
        mark = self.marks[node]
        if mark.part == 'start':
            self._open.append(_Region(env))
        elif mark.part == 'input':
            return self._input(mark, env)
        elif mark.part == 'end':
            region = self._open.pop()
            region.close()
            written = any(memory.version != version for memory, version in region.before)
            if written or any(x.memory.version for x in region.inputs):
                raise self._refusal(
                    f'a function given to torch.{mark.call.name} writes in place to a tensor from outside '
                    f'it, which is not supported: write to a clone, and return it'
                )
            self._made[mark.call] = _built(mark.call, region, env)
        else:
            return self._made[mark.call][mark.position]
        return None

    def _input(self, mark: Mark, env: Mapping[torch.fx.Node, Any]) -> Stored:
        operand: Node = env[mark.call.operands[mark.position]].read()
        made = variable_like(operand, operand.given_name)
        if mark.call.name != 'cond' and mark.position >= mark.call.carries:
            known = operand.type or TensorType()
            shape = None if known.shape is None else known.shape[1:]
            made = Variable('', shape, known.dtype, known.device)
        self._inputs.add(made)
        stored = Stored(made)
        self._open[-1].inputs.append(stored)
        return stored

    def check(self, outputs: Sequence[Node]) -> None:
        """See that the program returns nothing that exists inside a function only.

        Raises
        ------
        UnsupportedOpError
            It does.
        """
        if self._inputs and any(x in self._inputs for x in topological_sort(outputs)):
            raise self._refusal(
                'a tensor of a function given to torch.cond or a loop is used outside it, which is not '
                'supported: return it from the function'
            )


def _built(call: Call, region: _Region, env: Mapping[torch.fx.Node, Any]) -> Sequence[Node]:
    """Return the results of a call."""
    variables = [x.read() for x in region.inputs]
    operands: list[Node] = [env[x].read() for x in call.operands]
    returned: list[list[Node]] = [[env[y].read() for y in found] for found in call.results]
    every = [y for found in returned for y in found]
    if call.name == 'cond':
        # What a branch computes belongs to it, also where it closes over something.
        whole, captured = Body.closed(variables, every, region.built)
        count = len(returned[0])
        branches = [Body(whole.inputs, whole.outputs[:count]), Body(whole.inputs, whole.outputs[count:])]
        return chosen(env[call.choice[0]].read(), branches, [*operands, *captured])
    whole, captured = Body.closed(variables, every)
    carries = operands[: call.carries]
    if call.name == 'while_loop':
        condition, body = Body(whole.inputs, whole.outputs[:1]), Body(whole.inputs, whole.outputs[1:])
        return looped(condition, body, carries, captured, None)
    return scanned(whole, Operands(carries, operands[call.carries :], captured, []))

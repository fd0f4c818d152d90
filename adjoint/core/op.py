"""The op: what a node does with the values of its inputs, and the one fact of its derivative."""

import inspect
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import torch

from adjoint.core.errors import NonDifferentiableError, UnsupportedOpError
from adjoint.core.inference import infer_by_compute
from adjoint.core.kink import Kink
from adjoint.core.node import Node
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType

__all__ = ['Nothing', 'Op', 'hand_over_batch', 'hand_over_jvp']

_default_jvp: list[Callable[[Node, Sequence[Node | None]], Node | None]] = []
_default_batch: list[Callable[[Node, Sequence[Node | None]], Node]] = []


def hand_over_jvp(rule: Callable[[Node, Sequence[Node | None]], Node | None]) -> None:
    """Take the default of ``Op.jvp``; called once, by the room that can walk a graph."""
    _default_jvp[:] = [rule]


# Why a rule gives nothing: the derivative is zero; the op is constant between its jumps; it reads only sizes
# and dtype of its operands; it is there to stop derivatives.
Nothing: TypeAlias = Literal['zero', 'step', 'sizes', 'stop']


def hand_over_batch(rule: Callable[[Node, Sequence[Node | None]], Node]) -> None:
    """Take the default of ``Op.batch``; called once, by the room that knows how to batch any op."""
    _default_batch[:] = [rule]


class Op:
    """An operation on tensors: one class an operation, one instance that every node of it shares.

    A subclass writes ``compute`` and ``gradient``; everything else follows from them: the type of the
    result by running ``compute`` on tensors without data, forward mode as the pullback of the
    pullback, and every higher order, because ``gradient`` is written with nodes.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> class Cube(ad.Op):
    ...     def compute(self, node, input_values):
    ...         x, = input_values
    ...         return x ** 3
    ...     def gradient(self, node, output_grad):
    ...         x, = node.inputs
    ...         return [output_grad * 3 * x ** 2]
    >>> cube, x = Cube(), ad.Variable('x')
    >>> y = cube(x)
    >>> ad.Evaluator([y, *ad.gradients(y, [x])]).run({x: torch.tensor(2.0)})
    [tensor(8.), tensor(12.)]
    """

    name: ClassVar[str] = 'op'
    formula: ClassVar[str | None] = None

    # How many tensors the value is made of. With more than one, the value is a tuple, and what users get
    # are the nodes that pick one of them: see `adjoint.ops.several`.
    outputs: int = 1

    # Up to which order the op can be differentiated; None for any.
    orders: ClassVar[int | None] = None

    # The attrs that count axes, from the front or from the back, where all axes in front of these may be a
    # batch: () for an op on the last axes. None where the op says nothing of the kind.
    axes: ClassVar[tuple[str, ...] | None] = None

    # Whether the axes of operands in front of these are broadcast, so that some may be missing.
    broadcasts: ClassVar[bool] = False

    # Whether torch has a kernel for a batch of what `compute` calls (torch.func.vmap). Without, a map runs it
    # example by example and does not try: torch would do the same, and warn.
    vectorises: ClassVar[bool] = True

    # Whether two nodes with the same operands and attrs are one value, so that one can stand for both. Not so
    # of variables, of what is drawn, and of what is told apart on purpose.
    shareable: ClassVar[bool] = True

    # Why nothing flows to an operand where the rule gives nothing: see `adjoint.autodiff.connection`.
    nothing: ClassVar[Nothing] = 'zero'

    # Where its derivative is a choice, or infinite.
    kinks: ClassVar[tuple[Kink, ...]] = ()

    # Of a loop whose cost is so much for each step: how many it takes at once, so that what it takes for
    # one number of them tells what it takes of that many more.
    period: ClassVar[int | None] = None

    # Whether it may leave entries of an operand out, so that their cotangents are known to be zero.
    drops: ClassVar[bool] = False

    # Whether it may put entries in that come from no operand, so that their tangents are known to be zero.
    fills: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if 'name' not in cls.__dict__:
            # LogSoftmax -> log_softmax; Atan2 -> atan2
            words = re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '_', cls.__name__.removesuffix('Op') or 'Op')
            cls.name = words.lower()

    def __call__(self, *operands: Any, **attrs: Any) -> Node:
        """Build the node of this op: positional operands are tensors, keywords are its attrs."""
        return Node([as_node(operand, self.name) for operand in operands], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> Any:
        """Return the value of the node from those of its inputs.

        Parameters
        ----------
        node : Node
            For its ``attrs``.
        input_values : list of torch.Tensor
            One for each of ``node.inputs``; not to be changed in place.

        Returns
        -------
        torch.Tensor, or a tuple of them
            A tuple where ``outputs`` is more than 1.
        """
        raise UnsupportedOpError(f'{type(self).__name__} has no compute method{_where(type(self))}')

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the cotangents of the inputs: the pullback of ``output_grad``.

        Parameters
        ----------
        node : Node
            The node whose inputs the cotangents belong to. Its own value may be used in them.
        output_grad : Node
            The cotangent of the node's value, of its shape.

        Returns
        -------
        list of Node or None
            One for each of ``node.inputs``, of its shape; ``None`` where nothing flows.
        """
        raise NonDifferentiableError(
            f'{type(self).__name__} states no derivative: write its gradient(node, output_grad)'
            f'{_where(type(self))}\n{node.location}'
        )

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the tangent of the value: the pushforward of the tangents of the inputs.

        The default is the pullback of the pullback, which is right for every op with a ``gradient``.

        Parameters
        ----------
        node : Node
            The node whose value is pushed forward.
        input_tangents : sequence of Node or None
            One for each of ``node.inputs``, of its shape; ``None`` for a zero tangent.

        Returns
        -------
        Node or None
            The tangent, of the shape of the node; ``None`` where nothing flows.
        """
        return _default_jvp[0](node, input_tangents)

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return which entries of the inputs some entries of the value are computed from.

        Gradients are kept free of nan by it: see `adjoint.autodiff.masks`.

        Parameters
        ----------
        node : Node
            The node whose entries are asked for.
        mask : Node or None
            Not zero at these entries; it broadcasts to the shape of the node. ``None`` for all entries.

        Returns
        -------
        sequence of Node or None
            For each of ``node.inputs`` a mask that broadcasts to its shape; ``None`` for all entries, or
            where it is not known.
        """
        return [None] * len(node.inputs)

    def reaches(self, node: Node, masks: Sequence[Node | bool]) -> Node | None:
        """Return which entries of the value are computed from some entries of the inputs.

        Tangents are kept free of nan by it: see `adjoint.autodiff.tangents`.

        Parameters
        ----------
        node : Node
            The node whose entries are asked for.
        masks : sequence of Node or bool
            For each of ``node.inputs`` a mask that broadcasts to its shape, not zero at the entries; true for
            all entries, false for none.

        Returns
        -------
        Node or None
            A mask that broadcasts to the shape of the node; ``None`` for all entries, or where it is not
            known.
        """
        return None

    def batch(self, node: Node, input_batches: Sequence[Node | None]) -> Node:
        """Return the node for a whole batch of operands: what the op gives for each, one after the other.

        The default follows from the kind of the op and from what it says of its ``axes``; an op of which
        nothing is known is applied to each example.

        Parameters
        ----------
        node : Node
            The node on one example: its types are those of an example.
        input_batches : sequence of Node or None
            For each of ``node.inputs`` its batch, a node with one more axis in front; ``None`` for an operand
            that is the same for every example. One of them is a batch.

        Returns
        -------
        Node
            The values for the examples along a new first axis; of an op with several outputs, each of them.
        """
        return _default_batch[0](node, input_batches)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        """Return the type of the node, or ``None`` where it is not known before the run."""
        return infer_by_compute(node, input_types)

    def restricted(self, node: Node, used: Collection[int]) -> Node:
        """Return what a run computes in the place of a node of which it uses some outputs only.

        Parameters
        ----------
        node : Node
            Of an op with several outputs.
        used : collection of int
            The positions of the outputs that are used.

        Returns
        -------
        Node
            Its operands are some of those of the node. Its value is as long a tuple, equal in the places that
            are used and anything in the others. The default is the node itself.
        """
        return node

    def lightened(self, node: Node, level: str, room: int) -> Mapping[int, Node] | None:
        """Return nodes for the outputs of a loop that do less in each step; for graphs that are only run.

        Parameters
        ----------
        node : Node
            The loop.
        level : str
            Which changes are allowed: a level of :func:`adjoint.optimize`.
        room : int
            How many bytes may be computed for all steps together.

        Returns
        -------
        mapping of int to Node, or None
            For each output that is computed what takes its place; ``None`` where nothing can be taken out.
        """
        return None

    def shortened(self, node: Node, steps: int) -> tuple[Node, Sequence[int]]:
        """Return a loop as one of another number of steps; only of ops with a ``period``.

        Parameters
        ----------
        node : Node
            The loop.
        steps : int
            How many steps it is to have.

        Returns
        -------
        node : Node
            The same loop, but for its length.
        sequences : sequence of int
            The positions of the operands of which each step takes a slice.
        """
        return node, ()

    def commutes(self, node: Node) -> bool:
        """Return whether the operands of a node can be exchanged without changing a bit of its value."""
        return False

    def describe(self, node: Node, operands: Sequence[str]) -> str:
        """Return the node as a person would write it, given the names of its inputs."""
        # What is None or False is an option that is not used.
        used = [(k, v) for k, v in node.attrs.items() if v is not None and v is not False]
        attrs = [f'{name}={value}' for name, value in used]
        return f'{self.name}({", ".join([*operands, *attrs])})'

    def __repr__(self) -> str:
        return f'<Op {self.name}>'

    def __reduce__(self) -> str | tuple[Any, ...]:
        # An op that stands in its module as a global is pickled and copied as that global, so that
        # it stays the same object; others as plain objects.
        for name, value in vars(sys.modules[type(self).__module__]).items():
            if value is self:
                return name
        return _unpickled, (type(self),), vars(self)


def _unpickled(cls: type[Op]) -> Op:
    return cls.__new__(cls)


def _where(cls: type) -> str:
    """Return where a class is written, as a clause of a message."""
    try:
        lines, start = inspect.getsourcelines(cls)
    except (OSError, TypeError):
        return ''
    return f' (class {cls.__name__}, {len(lines)} lines from {inspect.getsourcefile(cls)}:{start})'

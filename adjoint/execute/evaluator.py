"""The reference evaluator: one node after the other, the witness for every faster one."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch

from adjoint.core.errors import AdjointError, MissingInputError, ShapeError, TensorTypeError
from adjoint.core.extent import extents_of
from adjoint.core.graph import hand_over_runner
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import placeholder
from adjoint.ops.several import restricted

__all__ = ['Evaluator']


class Evaluator:
    """Computes nodes from the values of their inputs.

    Parameters
    ----------
    eval_nodes : sequence of Node
        What every run returns the values of.

    Notes
    -----
    One evaluator serves any shapes and dtypes that the types of its variables allow, call after call.
    Values are freed after their last use. Nothing is recorded for torch's autograd. Results of ops
    that are views in torch, such as ``transpose``, share memory with their operands.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x')
    >>> ad.Evaluator([x * x]).run({x: torch.tensor([1.0, 2.0])})
    [tensor([1., 4.])]
    """

    def __init__(self, eval_nodes: Sequence[Node]) -> None:
        if isinstance(eval_nodes, Node):
            msg = 'Evaluator takes a list of nodes: write Evaluator([y])'
            raise TensorTypeError(msg)
        self.eval_nodes = list(eval_nodes)
        for node in self.eval_nodes:
            if not isinstance(node, Node):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
                msg = f'Evaluator takes nodes, and got {node!r} of type {type(node).__name__}'
                raise TensorTypeError(msg)
        # By the inner nodes that a run gives values for: the order, and what dies after each node.
        self._schedules: dict[frozenset[Node], _Schedule] = {}
        self._reachable = frozenset(topological_sort(self.eval_nodes))

    def run(self, input_values: Mapping[Node, torch.Tensor]) -> list[torch.Tensor]:
        """Compute the values of the nodes.

        Parameters
        ----------
        input_values : mapping of Node to torch.Tensor
            A value for every variable that is needed. NumPy arrays and Python numbers are converted.
            A value may be given for an inner node too; nothing behind it is then computed. Other keys
            are ignored.

        Returns
        -------
        list of torch.Tensor
            In the order of ``eval_nodes``.

        Raises
        ------
        MissingInputError
            Variables without a value; all of them are named.
        ShapeError, TensorTypeError
            A value does not fit the type of its variable, or is no tensor.
        """
        with torch.no_grad():
            return self.run_in_place(input_values)

    def run_in_place(self, input_values: Mapping[Node, torch.Tensor]) -> list[torch.Tensor]:
        """Compute the values as part of another computation, which torch's autograd records if it does that.

        As :meth:`run` otherwise: for ops that hold a graph, and compute it.
        """
        values, sizes = _checked(input_values, self._reachable)
        schedule = self._schedule(values)
        missing = [node for node in schedule.needed if node not in values]
        if missing:
            raise _missing(missing)
        node = None
        try:
            for node, stand, dying in schedule.steps:
                if node not in values:
                    sized = (
                        stand
                        if not schedule.sized or stand not in schedule.sized
                        else stand.with_sizes(sizes)
                    )
                    values[node] = stand.op.compute(sized, [values[x] for x in stand.inputs])
                for x in dying:
                    del values[x]
        except Exception as error:
            if node is not None and not isinstance(error, AdjointError):
                error.add_note(_circumstances(node, values))
            raise
        return [values[node] for node in self.eval_nodes]

    def _schedule(self, values: Mapping[Node, torch.Tensor]) -> '_Schedule':
        given = frozenset(node for node in values if node.op is not placeholder)
        schedule = self._schedules.get(given)
        if schedule is None:
            schedule = self._schedules[given] = _Schedule(self.eval_nodes, given)
        return schedule


class _Schedule:
    """The order of a run, what is computed for each node, and which values are dead after it."""

    def __init__(self, eval_nodes: Sequence[Node], given: frozenset[Node]) -> None:
        order = restricted(eval_nodes, given)
        self.needed = [node for node, _ in order if node.op is placeholder]
        last_use: dict[Node, Node] = {}
        for node, stand in order:
            if node not in given:
                last_use.update(dict.fromkeys(stand.inputs, node))
        for node in eval_nodes:
            last_use.pop(node, None)
        dying: dict[Node, list[Node]] = {}
        for x, node in last_use.items():
            dying.setdefault(node, []).append(x)
        # Nodes that hold sizes by name, which are numbers only in a run.
        self.sized = {stand for _, stand in order if extents_of(stand.attrs)}
        self.steps = [
            (node, stand, dying.get(node, ())) for node, stand in order if node.op is not placeholder
        ]


def _checked(
    input_values: Mapping[Node, torch.Tensor], reachable: frozenset[Node]
) -> tuple[dict[Node, torch.Tensor], dict[str, int]]:
    """Return the values that matter, as tensors, each fitting the type of its node, and the named sizes."""
    if not isinstance(input_values, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
        msg = f'run takes a dictionary from nodes to tensors, and got {type(input_values).__name__}'
        raise TensorTypeError(msg)
    values: dict[Node, torch.Tensor] = {}
    sizes: dict[str, tuple[int, Node]] = {}
    for node, value in input_values.items():
        if not isinstance(node, Node):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
            msg = (
                f'a key of the values is {node!r} of type {type(node).__name__}, and keys are nodes: '
                f'write run({{x: tensor}}) with the Variable itself'
            )
            raise TensorTypeError(msg)
        if node not in reachable:
            continue
        tensor = _as_tensor(node, value)
        if node.type is not None:
            _check_type(node, node.type, tensor, sizes)
        values[node] = tensor
    return values, {name: size for name, (size, _) in sizes.items()}


def _as_tensor(node: Node, value: Any) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value
    dtype = None if node.type is None else node.type.dtype
    if isinstance(value, (bool, int, float, complex)):
        return torch.tensor(value, dtype=dtype)
    if type(value).__module__ == 'numpy':
        return torch.as_tensor(value)
    way_out = ': make a tensor of it with torch.tensor(...)' if isinstance(value, (list, tuple)) else ''
    given = type(cast('object', value)).__name__
    msg = (
        f"the value given for '{node}' is a {given}, and must be a torch tensor, a NumPy "
        f'array or a Python number{way_out}\n{node.location}'
    )
    raise TensorTypeError(msg)


def _check_type(
    node: Node, known: TensorType, value: torch.Tensor, sizes: dict[str, tuple[int, Node]]
) -> None:
    """Check a value against the type of its node; named sizes must agree over all values."""
    got = TensorType.of(value)
    if known.dtype is not None and known.dtype != got.dtype:
        dtype = str(known.dtype)
        raise TensorTypeError(_misfit(node, known, got, f'convert it with value.to({dtype})'))
    if known.device is not None and known.device != got.device:
        raise TensorTypeError(_misfit(node, known, got, f'move it with value.to({str(known.device)!r})'))
    if known.shape is None:
        return
    if len(known.shape) != value.ndim:
        remedy = f'it has {value.ndim} axes instead of {len(known.shape)}'
        raise ShapeError(_misfit(node, known, got, remedy))
    for axis, (wanted, size) in enumerate(zip(known.shape, value.shape, strict=True)):
        if isinstance(wanted, int) and wanted != size:
            remedy = f'axis {axis} has size {size} instead of {wanted}'
            raise ShapeError(_misfit(node, known, got, remedy))
        if isinstance(wanted, str):
            first, other = sizes.setdefault(wanted, (size, node))
            if first != size:
                remedy = f"axis {axis} has size {size}, and '{wanted}' is {first} in '{other}'"
                raise ShapeError(_misfit(node, known, got, remedy))


def _misfit(node: Node, known: TensorType, got: TensorType, remedy: str) -> str:
    return f"the value given for '{node}' is {got} and its type {known}: {remedy}\n{node.location}"


def _missing(nodes: Sequence[Node]) -> MissingInputError:
    listed = '\n'.join(
        f"  '{node}'{'' if node.type is None else f': {node.type}'}\n{node.location}" for node in nodes
    )
    plural = 's have' if len(nodes) > 1 else ' has'
    return MissingInputError(
        f'{len(nodes)} variable{plural} no value: add them to the dictionary given to run\n{listed}'
    )


def _circumstances(node: Node, values: Mapping[Node, torch.Tensor]) -> str:
    operands = '\n'.join(
        f'  input {i}: {_type_of(values[x])}    {x}' for i, x in enumerate(node.inputs) if x in values
    )
    attrs = f' with {node.attrs}' if node.attrs else ''
    return f"while computing node '{node}', op {node.op.name}{attrs}\n{operands}\n{node.location}"


def _type_of(value: Any) -> TensorType:
    """Return the type of a value; of an op with several outputs, that of a tuple, some not computed."""
    if isinstance(value, tuple):
        entries = cast('tuple[Any, ...]', value)
        return TensorType(items=tuple(None if v is None else _type_of(v) for v in entries))
    return TensorType.of(value)


hand_over_runner(Evaluator)

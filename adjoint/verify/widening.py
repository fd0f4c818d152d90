"""A user's graph as a map, in double precision where its ops allow that."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from adjoint.core.errors import AdjointError, TensorTypeError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.source import located_at
from adjoint.core.tensor_type import TensorType
from adjoint.execute.evaluator import Evaluator
from adjoint.ops.creation import constant, placeholder
from adjoint.verify.maps import Map
from adjoint.verify.samples import has_derivative, widened

__all__ = ['graph_map']


def graph_map(output: Node, values: Any, nodes: Sequence[Node] | None) -> Map:
    """Return a node as a map of what is differentiated by, at the given values.

    Parameters
    ----------
    output : Node
        The output.
    values : dict of Node to torch.Tensor
        As for ``Evaluator.run``.
    nodes : sequence of Node, optional
        What is differentiated by.

    Raises
    ------
    MissingInputError, ShapeError, TensorTypeError
        As ``Evaluator.run``, or where a node is not behind the output.
    """
    behind = topological_sort(output)
    if nodes is not None:
        missing = [str(n) for n in nodes if n not in set(behind)]
        if missing:
            msg = f"{', '.join(missing)} is not part of the graph of '{output}'\n{output.location}"
            raise TensorTypeError(msg)
    fed = [n for n in behind if n in values]
    inner = [n for n in nodes or () if n not in values]
    results = Evaluator([output, *fed, *inner]).run(values)
    inputs = [*fed, *inner]
    feed = dict(zip(inputs, results[1:], strict=True))
    chosen = [n for n in inputs if has_derivative(feed[n])] if nodes is None else list(nodes)
    unfit = [n for n in chosen if not has_derivative(feed[n])]
    if unfit:
        msg = f"node '{unfit[0]}' is {TensorType.of(feed[unfit[0]])}, and has no derivative"
        raise TensorTypeError(msg)
    moving = tuple(inputs.index(n) for n in chosen)
    own = Map(tuple(inputs), tuple(feed.values()), (output,), moving, 'the given values', _kind(inputs))
    return _widened(own)


def _kind(inputs: Sequence[Node]) -> Any:
    return 'typed' if any(n.type is not None for n in inputs) else 'untyped'


def _widened(of: Map) -> Map:
    """Return the same map in double precision, or as it is if it has no smaller one or an op refuses."""
    values = tuple(map(widened, of.values))
    constants = [n for n in topological_sort(of.outputs) if n.op is constant]
    if all(v is w for v, w in zip(of.values, values, strict=True)) and all(
        widened(n.attrs['constant']) is n.attrs['constant'] for n in constants
    ):
        return of
    try:
        copies = _rebuilt(of)
        outputs = tuple(copies[n] for n in of.outputs)
        inputs = tuple(copies[n] for n in of.inputs)
        results = Evaluator(outputs).run(dict(zip(inputs, values, strict=True)))
    except (AdjointError, RuntimeError):
        return of
    if any(widened(r) is not r for r in results):
        return of
    return replace(of, inputs=inputs, values=values, outputs=outputs, where=f'{of.where} in double precision')


def _rebuilt(of: Map) -> Mapping[Node, Node]:
    """Copy a graph with variables and constants in double precision; every node keeps its line."""
    copies: dict[Node, Node] = {}
    for node in topological_sort(of.outputs, behind=of.inputs):
        with located_at(node.location):
            if node.op is placeholder or node in of.inputs:
                copies[node] = Node([], placeholder, None, node.name, _wide_type(node.type))
            elif node.op is constant:
                copies[node] = constant(widened(node.attrs['constant']), node.given_name)
            else:
                operands = [copies[x] for x in node.inputs]
                copies[node] = Node(operands, node.op, node.attrs, node.given_name)
    for node in of.inputs:
        copies.setdefault(node, node)
    return copies


def _wide_type(known: TensorType | None) -> TensorType | None:
    if known is None or known.dtype is None:
        return known
    dtype = widened(torch.empty(0, dtype=known.dtype)).dtype
    return TensorType(known.shape, dtype, known.device)

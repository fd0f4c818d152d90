"""The sparsity of derivatives, from the structure of a graph, before any run."""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from scipy import sparse

from adjoint.autodiff.local_patterns import Labels, Matrix, carries, local_pattern, static_shape
from adjoint.core.graph import runner_of
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.rebuild import dependents
from adjoint.ops.creation import placeholder
from adjoint.ops.several import Item, Pack
from adjoint.ops.sparse import coo

__all__ = ['pattern_of', 'positions_in', 'sparsity']


def sparsity(output: Node, node: Node) -> torch.Tensor:
    """Return where the derivative of a node by another may be other than zero.

    Found from the structure of the graph; no values of variables are needed. Every entry that can be other
    than zero is there; an entry that is there may still be zero, for one by a factor that is.

    Parameters
    ----------
    output : Node
        Of any shape ``S``, whose sizes are numbers.
    node : Node
        What it is differentiated by, of any shape ``T``, whose sizes are numbers.

    Returns
    -------
    torch.Tensor
        Sparse (COO), boolean, of shape ``S + T``.

    Raises
    ------
    TensorTypeError
        A size is not known as a number.

    Notes
    -----
    Elementwise ops, maps that move entries (views, indexing by constants, padding), reductions, running sums
    and products, normalisations, matrix products and convolutions are followed entry by entry. Of every
    other op, each entry of the value is taken to depend on all entries of the operands.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x', (4,), torch.float64)
    >>> ad.sparsity(x[1:] * x[:-1], x).to_dense().int()
    tensor([[1, 1, 0, 0],
            [0, 1, 1, 0],
            [0, 0, 1, 1]], dtype=torch.int32)
    """
    target, source = static_shape(output), static_shape(node)
    indices = positions_in(pattern_of(output, node), target, source)
    return coo(indices, torch.ones(indices.shape[1], dtype=torch.bool), (*target, *source))


def positions_in(pattern: Matrix, target: Sequence[int], source: Sequence[int]) -> torch.Tensor:
    """Return the positions of a pattern's entries in a tensor of shape ``(*target, *source)``, as columns."""
    found = pattern.tocoo()
    axes: list[torch.Tensor] = []
    for places, shape in ((found.row, target), (found.col, source)):
        flat = torch.as_tensor(places, dtype=torch.int64)
        axes += torch.unravel_index(flat, tuple(shape)) if shape else ()
    return torch.stack(axes) if axes else torch.zeros((0, found.nnz), dtype=torch.int64)


def pattern_of(output: Node, node: Node) -> Matrix:
    """Return the sparsity as a boolean matrix of scipy (CSR): entries of the output by those of the node."""
    columns = math.prod(static_shape(node))
    patterns: dict[Node, Matrix | list[Matrix]] = {
        node: sparse.csr_array(sparse.eye_array(columns, dtype=bool))
    }
    constants = _Constants(output)
    order = dependents([output], [node])
    last_use = {x: y for y in order for x in y.inputs}
    for y in order:
        if y is not node:
            patterns[y] = _of_node(y, patterns, constants, columns)
        for x in y.inputs:
            if last_use.get(x) is y and x is not output:
                patterns.pop(x, None)
    found = patterns.get(output)
    return _nothing(math.prod(static_shape(output)), columns) if found is None else found


def _nothing(rows: int, columns: int) -> Matrix:
    return sparse.csr_array((rows, columns), dtype=bool)


def _of_node(
    y: Node, patterns: dict[Node, Matrix | list[Matrix]], constants: '_Constants', columns: int
) -> Matrix | list[Matrix]:
    """Return the pattern of a node from those of its operands; one for each output, if there are several."""
    if isinstance(y.op, Item):
        whole = patterns[y.inputs[0]]
        return whole[y.attrs['position']]
    if isinstance(y.op, Pack):
        places: Sequence[int] = y.attrs['places']
        empty = _nothing(0, columns)
        return [
            patterns.get(y.inputs[places.index(i)], empty) if i in places else empty
            for i in range(y.attrs['count'])
        ]
    outputs = [None] if y.op.outputs == 1 else list(range(y.op.outputs))
    found: list[Matrix] = []
    for output in outputs:
        total = _nothing(math.prod(static_shape(y, output)), columns)
        for position, x in enumerate(y.inputs):
            if x in patterns and carries(y, position):
                local = local_pattern(y, position, output, constants.value_of)
                total = total + _of_operand(local, patterns[x])
        found.append(total)
    return found[0] if y.op.outputs == 1 else found


def _of_operand(local: list[Labels] | Matrix, pattern: Matrix) -> Matrix:
    if not isinstance(local, list):
        return local @ pattern
    joined = [_joined(labels, pattern) for labels in cast('list[Labels]', local)]
    return sum(joined[1:], joined[0])


def _joined(labels: Labels, pattern: Matrix) -> Matrix:
    """Return the pattern of a value whose entries depend on the operand's entries of their label."""
    outs, ins = labels.outs.numpy(), labels.ins.numpy()
    count = int(max(outs.max(initial=-1), ins.max(initial=-1))) + 1
    # Collect the entries of each label, with an empty row at the end for what has none; then look them up.
    own = np.flatnonzero(ins >= 0)
    collect = sparse.csr_array(
        (np.ones(len(own), dtype=bool), (ins[own], own)), shape=(count + 1, len(ins)), dtype=bool
    )
    return sparse.csr_array((collect @ pattern)[np.where(outs < 0, count, outs)])


class _Constants:
    """The values of the nodes that no variable is behind, computed when they are asked for."""

    def __init__(self, output: Node) -> None:
        order = topological_sort(output)
        unknown: set[Node] = set()
        for node in order:
            if node.op is placeholder or not unknown.isdisjoint(node.inputs):
                unknown.add(node)
        self._known = set(order) - unknown
        self._values: dict[Node, torch.Tensor] = {}

    def value_of(self, node: Node) -> torch.Tensor | None:
        """Return the value of a node, or ``None`` if a variable is behind it."""
        if node not in self._known:
            return None
        if node not in self._values:
            (self._values[node],) = runner_of([node]).run({})
        return self._values[node]

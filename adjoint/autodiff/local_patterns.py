"""Which entries of an operand each entry of an op's value depends on: the sparsity of one op.

Such a dependence is a pair of labellings: an entry of the value depends on the entries of the operand that
have its label. A map that moves entries labels them with where they come from, a reduction with what they
are reduced to, and an op that mixes along some axes with the position on the others.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import torch
from scipy import sparse

from adjoint.core.errors import TensorTypeError
from adjoint.core.graph import runner_of
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.tensor_type import TensorType
from adjoint.ops.activation import LogSoftmax, Softmax
from adjoint.ops.contraction import MatMul, MatMulLeft, MatMulRight
from adjoint.ops.convolution import Convolution, ConvolutionInput, convolution
from adjoint.ops.creation import Creation, Variable
from adjoint.ops.cumulative import Cumprod, Logcumsumexp, Prod, Recurrence, Shift
from adjoint.ops.elementwise import Elementwise, Step
from adjoint.ops.linalg import Inverse, Solve
from adjoint.ops.linear import Linear
from adjoint.ops.normalise import LayerNorm
from adjoint.ops.reduction import CumSum, Reduction
from adjoint.ops.scatter import MaskedFill
from adjoint.ops.select import Where

__all__ = ['Labels', 'Matrix', 'carries', 'local_pattern', 'static_shape']

Shape: TypeAlias = tuple[int, ...]

# A sparse boolean matrix of scipy, which ships no types.
Matrix: TypeAlias = Any


@dataclass(frozen=True)
class Labels:
    """A dependence: entry ``o`` of the value is made of the entries ``i`` with ``ins[i] == outs[o]``.

    Parameters
    ----------
    outs, ins : torch.Tensor
        int64, one label for each entry of the value and of the operand, flattened; -1 matches nothing.
    """

    outs: torch.Tensor
    ins: torch.Tensor


@dataclass(frozen=True)
class _Operand:
    """One operand of a node, and what a rule may ask."""

    node: Node
    position: int
    source: Shape
    target: Shape
    value_of: Callable[[Node], torch.Tensor | None]


def static_shape(node: Node, output: int | None = None) -> Shape:
    """Return the shape of a node as numbers, or of one output of an op with several.

    Raises
    ------
    TensorTypeError
        It is not known as numbers.
    """
    known = node.type
    if known is not None and output is not None and known.items is not None:
        known = known.items[output]
    if known is None or known.shape is None or not all(isinstance(s, int) for s in known.shape):
        msg = (
            f"the sparsity of a derivative is found from sizes that are numbers, and '{node}' is "
            f'{known or "of no known type"}: give each variable a shape of numbers\n{node.location}'
        )
        raise TensorTypeError(msg)
    return cast('Shape', known.shape)


def local_pattern(
    node: Node, position: int, output: int | None, value_of: Callable[[Node], torch.Tensor | None]
) -> 'list[Labels] | Matrix':
    """Return which entries of an operand the value of a node depends on.

    Parameters
    ----------
    node : Node
        Of static type.
    position : int
        Of the operand.
    output : int or None
        Of an op with several outputs, which one.
    value_of : function
        Returns the value of a node that no variable is behind, else ``None``.

    Returns
    -------
    list of Labels, or sparse matrix
        Dependences that add up; or the pattern itself, value by operand.
    """
    op = node.op
    x = _Operand(node, position, static_shape(node.inputs[position]), static_shape(node, output), value_of)
    if isinstance(op, (Elementwise, Where, MaskedFill)):
        return [_broadcast(x.source, x.target)]
    if isinstance(op, Linear):
        moved = _moved(x)
        if moved is not None:
            return [moved]
    for kinds, rule in _RULES.items():
        if isinstance(op, kinds):
            found = rule(x)
            return [found] if isinstance(found, Labels) else found
    return [_everything(x)]


def carries(node: Node, position: int) -> bool:
    """Whether a derivative may flow from a node to one of its operands."""
    x = node.inputs[position]
    return not isinstance(node.op, (Step, Creation)) and _is_differentiable(x)


def _is_differentiable(node: Node) -> bool:
    return node.type is None or node.type.is_differentiable


def _counted(shape: Shape) -> torch.Tensor:
    return torch.arange(math.prod(shape)).reshape(shape)


def _everything(x: _Operand) -> Labels:
    """Return the dependence of each entry on all."""
    outs, ins = (torch.zeros(math.prod(shape), dtype=torch.int64) for shape in (x.target, x.source))
    return Labels(outs, ins)


def _broadcast(source: Shape, target: Shape) -> Labels:
    """Return the dependence of an elementwise op on an operand that broadcasts."""
    return Labels(_counted(source).expand(target).reshape(-1), torch.arange(math.prod(source)))


# -- ops that mix along some axes -------------------------------------------------------------------------


def _kept(shape: Shape, mixed: Iterable[int]) -> torch.Tensor:
    """Return the position of each entry on the axes that are not mixed."""
    axes = {d % max(len(shape), 1) for d in mixed}
    kept = tuple(1 if i in axes else s for i, s in enumerate(shape))
    return _counted(kept).expand(shape).reshape(-1)


def _dims(dim: Any, ndim: int) -> tuple[int, ...]:
    if dim is None:
        return tuple(range(ndim))
    return (dim,) if isinstance(dim, int) else tuple(dim)


def _along(x: _Operand) -> Labels:
    """Of an op along ``dim``, whose value has the size of the operand on the other axes."""
    dims = _dims(x.node.attrs.get('dim'), len(x.source))
    is_kept = len(x.target) == len(x.source)
    outs = _kept(x.target, dims) if is_kept else torch.arange(math.prod(x.target))
    return Labels(outs, _kept(x.source, dims))


def _over_last(x: _Operand) -> Labels:
    """Of a normalisation of the last axes."""
    axes = range(-len(x.node.attrs['normalized_shape']), 0)
    return Labels(_kept(x.target, axes), _kept(x.source, axes))


def _of_matrices(x: _Operand) -> Labels:
    """Of a function of matrices in batches that broadcast."""
    labels = _counted(x.source[:-2])
    outs = labels.expand(x.target[:-2])[..., None, None].expand(x.target)
    return Labels(outs.reshape(-1), labels[..., None, None].expand(x.source).reshape(-1))


# -- products ---------------------------------------------------------------------------------------------


def _product(x: _Operand) -> 'Labels | Matrix':
    """Of ``a @ b``: rows on rows and columns on columns; exactly, where the other factor is a constant."""
    other = x.value_of(x.node.inputs[1 - x.position])
    source, is_left = x.source, x.position == 0
    if other is not None and other.ndim == 2 and len(source) <= 2:  # noqa: PLR2004 matrices
        nonzero: Matrix = sparse.csr_array((other != 0).numpy(force=True))
        size = 1 if len(source) == 1 else source[0 if is_left else 1]
        beside = sparse.eye_array(size, dtype=bool)
        both = sparse.kron(beside, nonzero.T) if is_left else sparse.kron(nonzero, beside)
        return sparse.csr_array(both)
    if len(source) == 1:
        return _everything(x)
    # The axis that is summed over goes; the other one stays, or is not there beside a vector.
    summed = -1 if is_left else -2
    shape = list(source)
    shape[summed] = 1
    labels = _counted(tuple(shape))
    is_beside_vector = len(static_shape(x.node.inputs[1 - x.position])) == 1
    outs = labels.squeeze(summed) if is_beside_vector else labels
    return Labels(outs.expand(x.target).reshape(-1), labels.expand(source).reshape(-1))


def _adjoint_product(x: _Operand) -> Labels:
    """Of the adjoints of a product: all within a matrix of a batch."""
    if min(len(x.source), len(x.target)) < 2 or x.source[:-2] != x.target[:-2]:  # noqa: PLR2004 a matrix
        return _everything(x)
    return Labels(_kept(x.target, (-1, -2)), _kept(x.source, (-1, -2)))


# -- convolutions -----------------------------------------------------------------------------------------


def _convolution(of: _Operand) -> list[Labels]:
    """Of a convolution by its input, or of its adjoint: one move of entries for each place of the kernel."""
    weight = static_shape(of.node.inputs[1])
    is_adjoint = isinstance(of.node.op, ConvolutionInput)
    x, y = (of.target, of.source) if is_adjoint else (of.source, of.target)
    if of.position != 0 or len(x) != len(weight):
        return [_everything(of)]
    # One channel stands for all: which of them meet is the business of the groups.
    one = Node([], convolution, {**of.node.attrs, 'groups': 1}, type=TensorType())
    groups: int = of.node.attrs['groups']
    size = math.prod(x[2:])
    ids = (1.0 + torch.arange(size, dtype=torch.float64)).reshape(1, 1, *x[2:])
    blocks = torch.arange(x[0] * groups)[:, None, None] * size
    ins = (blocks + torch.arange(size)).expand(-1, x[1] // groups, -1).reshape(-1)
    found: list[Labels] = []
    for kernel in torch.eye(math.prod(weight[2:]), dtype=torch.float64):
        moved = convolution.compute(one, [ids, kernel.reshape(1, 1, *weight[2:])])
        places = moved.reshape(-1).round().to(torch.int64) - 1
        outs = torch.where(places < 0, -1, blocks + places).expand(-1, y[1] // groups, -1).reshape(-1)
        found.append(Labels(ins, outs) if is_adjoint else Labels(outs, ins))
    return found


# -- linear maps that move entries ------------------------------------------------------------------------


def _moved(x: _Operand) -> Labels | None:
    """Return the dependence of a linear op that moves entries, or sums entries that each go to one place.

    It is read off from what the op, or its adjoint, does with numbered entries, and confirmed with other
    numbers. ``None`` where it is neither.
    """
    op = cast('Linear', x.node.op)
    positions = range(len(x.node.inputs)) if op.linear_in is None else op.linear_in
    size, count = math.prod(x.source), math.prod(x.target)
    if x.position not in positions:
        return Labels(torch.full((count,), -1), torch.full((size,), -1))
    fillings = _fillings(x.node, positions, x.value_of)
    if fillings is None:
        return None
    places = _confirmed(lambda v, values: _forward(x, v, values), size, fillings)
    if places is not None:
        return Labels(places, torch.arange(size))
    pulled = _pulled(x)
    places = None if pulled is None else _confirmed(pulled, count, fillings)
    return None if places is None else Labels(torch.arange(count), places)


def _fillings(
    node: Node, linear_in: Iterable[int], value_of: Callable[[Node], torch.Tensor | None]
) -> list[list[torch.Tensor]] | None:
    """Return values for all operands, twice; ``None`` where only a run knows positions or masks.

    What the op is linear in is zero. Constants have their value. Of other operands the op should read only
    the sizes: they are filled with random numbers, and both fillings have to show the same.
    """
    linear = set(linear_in)
    generator = torch.Generator().manual_seed(0)
    columns: list[list[torch.Tensor]] = []
    for i, x in enumerate(node.inputs):
        shape = static_shape(x)
        known = torch.zeros(shape, dtype=torch.float64) if i in linear else value_of(x)
        if known is None and not _is_differentiable(x):
            return None
        drawn = (torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(2))
        columns.append([known, known] if known is not None else list(drawn))
    return [list(values) for values in zip(*columns, strict=True)]


def _confirmed(
    f: Callable[[torch.Tensor, list[torch.Tensor]], torch.Tensor],
    size: int,
    fillings: Sequence[list[torch.Tensor]],
) -> torch.Tensor | None:
    """Return for each entry of ``f(v)`` the place in ``v`` that it is a multiple of, -1 for zeros."""
    ids = 1.0 + torch.arange(size, dtype=torch.float64)
    mixed = torch.rand(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    found: list[torch.Tensor] = []
    for filling in fillings:
        try:
            scale, first, second = (f(v, filling).reshape(-1) for v in (torch.ones_like(ids), ids, mixed))
        except (RuntimeError, ValueError, IndexError, TypeError):
            return None  # it does not take numbers in double precision
        if scale.is_complex() or not bool(scale.isfinite().all()):
            return None
        places = torch.where(scale == 0, 0, first / scale).round().to(torch.int64) - 1
        if bool((places < -1).any()) or bool((places >= size).any()):
            return None
        expected = torch.where(places < 0, 0.0, scale * torch.cat([mixed, mixed.new_zeros(1)])[places])
        if not torch.allclose(second.to(expected.dtype), expected, rtol=1e-6, atol=1e-9):
            return None
        found.append(places)
    return found[0] if torch.equal(found[0], found[1]) else None


def _forward(x: _Operand, value: torch.Tensor, filling: Sequence[torch.Tensor]) -> torch.Tensor:
    values = list(filling)
    values[x.position] = value.reshape(x.source)
    return x.node.op.compute(x.node, values)


def _pulled(x: _Operand) -> Callable[[torch.Tensor, list[torch.Tensor]], torch.Tensor] | None:
    """Return the adjoint of an op as a function of a cotangent and the values of the operands."""
    operands = [Variable() for _ in x.node.inputs]
    ct = Variable()
    pulled = x.node.op.gradient(Node(operands, x.node.op, x.node.attrs), ct)[x.position]
    if pulled is None:
        return None
    runner = runner_of([pulled])
    return lambda v, values: runner.run(
        {ct: v.reshape(x.target), **dict(zip(operands, values, strict=True))}
    )[0]


_RULES: Mapping[tuple[type[Op], ...], Callable[[_Operand], 'Labels | list[Labels] | Matrix']] = {
    (Reduction, Softmax, LogSoftmax, CumSum, Cumprod, Logcumsumexp, Prod, Recurrence, Shift): _along,
    (LayerNorm,): _over_last,
    (MatMul,): _product,
    (MatMulLeft, MatMulRight): _adjoint_product,
    (Convolution, ConvolutionInput): _convolution,
    (Solve, Inverse): _of_matrices,
}

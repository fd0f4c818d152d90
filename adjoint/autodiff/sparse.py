"""Sparse Jacobians and Hessians: as few products as the colours of their pattern."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from adjoint.autodiff.colouring import column_colours, star_colours, star_source
from adjoint.autodiff.forward import pushforward
from adjoint.autodiff.gradients import gradients
from adjoint.autodiff.local_patterns import static_shape
from adjoint.autodiff.reverse import cotangents
from adjoint.autodiff.sparsity import coo, pattern_of, positions_in
from adjoint.core.errors import NonDifferentiableError, ShapeError, TensorTypeError
from adjoint.core.node import Node
from adjoint.ops.creation import constant, zeros_like
from adjoint.ops.index import getitem
from adjoint.ops.shape import cat, reshape

__all__ = ['SparseDerivative', 'sparse_hessian', 'sparse_jacobian']

Mode: TypeAlias = Literal['forward', 'reverse', 'symmetric']


@dataclass(frozen=True)
class SparseDerivative:
    """A Jacobian or Hessian by the entries of its sparsity pattern, as a graph.

    Parameters
    ----------
    values : Node
        The entries, of shape ``(n,)``: a node like any other, to be run or differentiated.
    indices : torch.Tensor
        Their positions, of shape ``(axes, n)``: the axes of the output, then those of the node.
    shape : tuple of int
        Of the derivative: that of the output, then that of the node.
    products : int
        How many products of the Jacobian with a tangent, or of its transpose with a cotangent, it takes: the
        number of colours.
    mode : {'forward', 'reverse', 'symmetric'}
        By columns, by rows, or by columns of a symmetric one.
    """

    values: Node
    indices: torch.Tensor
    shape: tuple[int, ...]
    products: int
    mode: Mode

    def tensor(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values of the entries, which a run gave, as a sparse (COO) tensor."""
        return coo(self.indices.to(values.device), values, self.shape)


def sparse_jacobian(
    output: Node, node: Node, mode: Literal['forward', 'reverse'] | None = None
) -> SparseDerivative:
    """Return the Jacobian of a node by another, by the entries of its pattern.

    Parameters
    ----------
    output, node : Node
        Of any shapes, whose sizes are numbers.
    mode : {'forward', 'reverse'}, optional
        By columns or by rows; by default whichever takes fewer products.

    Returns
    -------
    SparseDerivative
        Its ``values`` are a node; ``tensor(values)`` makes a sparse tensor of shape ``S + T``.

    Raises
    ------
    TensorTypeError
        A size is not known as a number, or the mode is none of those.
    NonDifferentiableError
        The output is not a real floating tensor.

    References
    ----------
    A. R. Curtis, M. J. D. Powell, J. K. Reid, On the estimation of sparse Jacobian matrices, 1974.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x', (1000,), torch.float64)
    >>> found = ad.sparse_jacobian(x[1:] * x[:-1], x)
    >>> found.products, found.values.shape
    (2, (1998,))
    >>> (values,) = ad.Evaluator([found.values]).run({x: torch.arange(1000.0, dtype=torch.float64)})
    >>> found.tensor(values).to_dense()[1, :4]
    tensor([0., 2., 1., 0.], dtype=torch.float64)
    """
    if mode not in {None, 'forward', 'reverse'}:
        msg = f"the mode of a sparse Jacobian is 'forward', 'reverse' or None, and got {mode!r}"
        raise TensorTypeError(msg)
    _check_real(output, node)
    pattern = pattern_of(output, node)
    directions: tuple[Literal['forward', 'reverse'], ...] = (
        ('forward', 'reverse') if mode is None else (mode,)
    )
    colourings = [(d, column_colours(pattern if d == 'forward' else pattern.T)) for d in directions]
    chosen, colours = min(colourings, key=lambda found: _count(found[1]))
    found = pattern.tocoo()
    rows, columns = (torch.as_tensor(places, dtype=torch.int64) for places in (found.row, found.col))
    if chosen == 'forward':
        parts = [pushforward(output, {node: seed}) for seed in _seeds(colours, node)]
        values = _picked(parts, output, colours[columns], rows)
    else:
        parts = [cotangents({output: seed}, [node])[0] for seed in _seeds(colours, output)]
        values = _picked(parts, node, colours[rows], columns)
    target, source = static_shape(output), static_shape(node)
    indices = positions_in(pattern, target, source)
    return SparseDerivative(values, indices, (*target, *source), len(parts), chosen)


def sparse_hessian(output: Node, node: Node) -> SparseDerivative:
    """Return the Hessian of a scalar node by another, by the entries of its pattern.

    Its symmetry is used: for one, an arrow of any size takes two products.

    Parameters
    ----------
    output : Node
        A scalar.
    node : Node
        Of any shape ``T``, whose sizes are numbers.

    Returns
    -------
    SparseDerivative
        Of shape ``T + T``.

    Raises
    ------
    ShapeError
        The output is no scalar.
    TensorTypeError
        A size is not known as a number.
    NonDifferentiableError
        The output is not a real floating tensor.

    References
    ----------
    A. H. Gebremedhin, A. Tarafdar, F. Manne, A. Pothen, New acyclic and star coloring algorithms with
    application to computing Hessians, 2007.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x', (1000,), torch.float64)
    >>> found = ad.sparse_hessian(ad.sum(x[0] * ad.square(x)), x)
    >>> found.products, found.values.shape
    (2, (2998,))
    """
    _check_real(output, node)
    if static_shape(output):
        msg = f"a Hessian is that of a scalar, and '{output}' is {output.type}: sum it\n{output.location}"
        raise ShapeError(msg)
    (gradient,) = gradients(output, [node])
    pattern = pattern_of(gradient, node)
    # Where an entry can be other than zero, so can its mirror image.
    pattern = (pattern + pattern.T).tocsr()
    pattern.sort_indices()
    colours = star_colours(pattern)
    parts = [pushforward(gradient, {node: seed}) for seed in _seeds(colours, node)]
    rows, which = star_source(pattern, colours)
    source = static_shape(node)
    return SparseDerivative(
        _picked(parts, node, which, rows),
        positions_in(pattern, source, source),
        (*source, *source),
        len(parts),
        'symmetric',
    )


def _check_real(output: Node, node: Node) -> None:
    for given in (output, node):
        known = given.type
        if known is not None and known.dtype is not None and not known.dtype.is_floating_point:
            msg = f"a sparse derivative is that of real numbers, and '{given}' is {known}\n{given.location}"
            raise NonDifferentiableError(msg)


def _seeds(colours: torch.Tensor, like: Node) -> list[Node]:
    """Return for each colour the sum of the unit vectors of its columns, in the shape of a node."""
    own = colours.reshape(static_shape(like))
    return [constant((own == colour).to(like.dtype)) for colour in range(_count(colours))]


def _count(colours: torch.Tensor) -> int:
    return int(colours.max()) + 1 if len(colours) else 0


def _picked(parts: Sequence[Node | None], like: Node, which: torch.Tensor, places: torch.Tensor) -> Node:
    """Return the entries of the products, flattened one after the other, at some places."""
    size = like.numel()
    if not parts:
        return reshape(zeros_like(like), (-1,))[:0]
    flat = cat([reshape(zeros_like(like) if part is None else part, (-1,)) for part in parts])
    return getitem(flat, which * size + places)

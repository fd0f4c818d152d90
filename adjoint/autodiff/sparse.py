"""Sparse Jacobians and Hessians: as few products as the colours of their pattern."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from adjoint.autodiff.batching.walk import batched
from adjoint.autodiff.colouring import column_colours, star_colours, star_source
from adjoint.autodiff.forward import pushforward
from adjoint.autodiff.gradients import gradients
from adjoint.autodiff.local_patterns import static_shape
from adjoint.autodiff.reverse import cotangents
from adjoint.autodiff.sparsity import pattern_of, positions_in
from adjoint.core.errors import NonDifferentiableError, ShapeError, TensorTypeError
from adjoint.core.node import Node
from adjoint.ops.batch import spread
from adjoint.ops.body import variable_like
from adjoint.ops.creation import constant, zeros_like
from adjoint.ops.index import getitem
from adjoint.ops.ranges import full
from adjoint.ops.scatter import index_put
from adjoint.ops.shape import reshape
from adjoint.ops.sparse import as_sparse

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

    @property
    def tensor(self) -> Node:
        """The derivative as a node whose value is a sparse tensor (COO): to be a result of a run."""
        return as_sparse(self.values, self.indices, self.shape)

    @property
    def dense(self) -> Node:
        """The derivative as a node whose value is a dense tensor, for other ops to work on."""
        zeros = full(self.shape, 0.0, dtype=self.values.dtype)
        return index_put(zeros, tuple(self.indices), self.values)


def sparse_jacobian(
    output: Node,
    node: Node,
    mode: Literal['forward', 'reverse'] | None = None,
    *,
    nan_safe: bool = True,
) -> SparseDerivative:
    """Return the Jacobian of a node by another, by the entries of its pattern.

    Parameters
    ----------
    output, node : Node
        Of any shapes, whose sizes are numbers.
    mode : {'forward', 'reverse'}, optional
        By columns or by rows; by default whichever takes fewer products.
    nan_safe : bool
        As for :func:`gradients`.

    Returns
    -------
    SparseDerivative
        Its ``tensor`` is a node whose value is a sparse tensor of shape ``S + T``; ``values`` its entries.

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
    >>> (jacobian,) = ad.Evaluator([found.tensor]).run({x: torch.arange(1000.0, dtype=torch.float64)})
    >>> jacobian.to_dense()[1, :4]
    tensor([0., 2., 1., 0.], dtype=torch.float64)
    """
    if mode not in {None, 'forward', 'reverse'}:
        msg = f"the mode of a sparse Jacobian is 'forward', 'reverse' or None, and got {mode!r}"
        raise TensorTypeError(msg)
    _check_real(output, node)
    pattern = pattern_of(output, node)
    by_direction: dict[Mode, torch.Tensor] = {}
    if mode != 'reverse':
        by_direction['forward'] = column_colours(pattern)
    if mode != 'forward':
        by_direction['reverse'] = column_colours(pattern.T)
    chosen = min(by_direction, key=lambda direction: _count(by_direction[direction]))
    colours = by_direction[chosen]
    found = pattern.tocoo()
    rows, columns = (torch.as_tensor(places, dtype=torch.int64) for places in (found.row, found.col))
    target, source = static_shape(output), static_shape(node)
    if chosen == 'forward':
        seed = variable_like(node, 't')
        products = _products(pushforward(output, {node: seed}, nan_safe=nan_safe), seed, colours)
        values = _picked(products, output, colours[columns], rows)
    else:
        seed = variable_like(output, 'ct')
        (pulled,) = cotangents({output: seed}, [node], nan_safe=nan_safe)
        products = _products(pulled, seed, colours)
        values = _picked(products, node, colours[rows], columns)
    indices = positions_in(pattern, target, source)
    return SparseDerivative(values, indices, (*target, *source), _count(colours), chosen)


def sparse_hessian(output: Node, node: Node, *, nan_safe: bool = True) -> SparseDerivative:
    """Return the Hessian of a scalar node by another, by the entries of its pattern.

    Its symmetry is used: for one, an arrow of any size takes two products.

    Parameters
    ----------
    output : Node
        A scalar.
    node : Node
        Of any shape ``T``, whose sizes are numbers.
    nan_safe : bool
        As for :func:`gradients`.

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
    (gradient,) = gradients(output, [node], nan_safe=nan_safe)
    pattern = pattern_of(gradient, node)
    # Where an entry can be other than zero, so can its mirror image.
    pattern = (pattern + pattern.T).tocsr()
    pattern.sort_indices()
    colours = star_colours(pattern)
    seed = variable_like(node, 't')
    products = _products(pushforward(gradient, {node: seed}, nan_safe=nan_safe), seed, colours)
    rows, which = star_source(pattern, colours)
    source = static_shape(node)
    return SparseDerivative(
        _picked(products, node, which, rows),
        positions_in(pattern, source, source),
        (*source, *source),
        _count(colours),
        'symmetric',
    )


def _check_real(output: Node, node: Node) -> None:
    for given in (output, node):
        known = given.type
        if known is not None and known.dtype is not None and not known.dtype.is_floating_point:
            msg = f"a sparse derivative is that of real numbers, and '{given}' is {known}\n{given.location}"
            raise NonDifferentiableError(msg)


def _count(colours: torch.Tensor) -> int:
    return int(colours.max()) + 1 if len(colours) else 0


def _products(flowing: Node | None, seed: Node, colours: torch.Tensor) -> Node | None:
    """Return what flows for each colour, along a first axis: the seed is the sum of its unit vectors."""
    if flowing is None:
        return None
    own = torch.arange(_count(colours)).reshape(-1, *(1 for _ in static_shape(seed)))
    seeds = constant((colours.reshape(static_shape(seed)) == own).to(seed.dtype))
    found = batched(flowing, {seed: seeds}, randomness='same')
    return spread(flowing, seeds) if found is None else found


def _picked(products: Node | None, like: Node, which: torch.Tensor, places: torch.Tensor) -> Node:
    """Return the entries of the products at some places of them, flattened."""
    if products is None:
        return reshape(zeros_like(like), (-1,))[:0]
    return getitem(reshape(products, (-1,)), which * like.numel() + places)

"""Rules of batches of products: matmul and its adjoints, and what is made of them."""

from adjoint.autodiff.batching.kinds import as_decomposed
from adjoint.autodiff.batching.operands import Batches, Rule, any_batch, lifted, lined_up, rank_of, spread_all
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.ops.attention import Attention, AttentionPullback, AttentionWithLogsumexp, attention_pullback
from adjoint.ops.basis import basis
from adjoint.ops.batch import spread
from adjoint.ops.contraction import MatMul, MatMulLeft, MatMulRight, matmul
from adjoint.ops.linalg import AsColumns, FromColumns, Pinv
from adjoint.ops.linear import alias, sum_to_like
from adjoint.ops.normalise import MatMulLayerNorm, MatMulSoftmax
from adjoint.ops.shape import reshape_like, squeeze, transpose, unsqueeze

__all__ = ['RULES']

_MATRIX = 2


def _matmul(node: Node, batches: Batches) -> Node | None:
    (a, b), (batch_a, batch_b) = node.inputs, batches
    rank_a, rank_b = rank_of(a), rank_of(b)
    if rank_a is None or rank_b is None:
        return None
    if batch_b is None and batch_a is not None and rank_a == 1 and rank_b <= _MATRIX:
        return _times(batch_a, b)
    if batch_a is None and batch_b is not None and rank_b == 1 and rank_a <= _MATRIX:
        return _times(batch_b, a if rank_a == 1 else transpose(a, 0, 1))
    if batch_a is None and batch_b is not None and rank_a == rank_b == _MATRIX and _is_column(b):
        return unsqueeze(matmul(squeeze(batch_b, -1), transpose(a, 0, 1)), -1)
    # Vectors as matrices, and as many axes in front of the matrices of both.
    wanted = max(rank_a, rank_b, _MATRIX)
    left, right = (a if batch_a is None else batch_a), (b if batch_b is None else batch_b)
    if rank_a == 1:
        left = unsqueeze(left, -2)
    if rank_b == 1:
        right = unsqueeze(right, -1)
    left = left if batch_a is None else lifted(left, max(rank_a, _MATRIX), wanted)
    right = right if batch_b is None else lifted(right, max(rank_b, _MATRIX), wanted)
    product = matmul(left, right)
    if rank_b == 1:
        product = squeeze(product, -1)
    return squeeze(product, -2 if rank_b != 1 else -1) if rank_a == 1 else product


def _times(vectors: Node, b: Node) -> Node:
    """Return the products of vectors with a vector or matrix; those of the unit vectors are its rows.

    Times 1, since a product has memory of its own: passes leave that out where nobody can tell.
    """
    return b * 1 if vectors.op is basis else matmul(vectors, b)


def _is_column(b: Node) -> bool:
    """Whether a matrix is known to have one column."""
    return b.type is not None and b.type.shape is not None and b.type.shape[-1] == 1


def _matrices(c: Node, a: Node, b: Node) -> tuple[Node, Node, Node] | None:
    """Give vectors the axis of size 1 that matmul gives them, and ``c`` the same."""
    rank_a, rank_b = rank_of(a), rank_of(b)
    if rank_a is None or rank_b is None:
        return None
    if rank_b == 1:
        b, c = unsqueeze(b, -1), unsqueeze(c, -1)
    if rank_a == 1:
        a, c = unsqueeze(a, 0), unsqueeze(c, -2)
    return c, a, b


def _by_left(node: Node) -> Node | None:
    c, b, like = node.inputs
    if rank_of(like) == 1 and rank_of(b) == _MATRIX:
        return matmul(c, transpose(b, 0, 1))  # a vector for each example, and the rows of one product for all
    matrices = _matrices(c, like, b)
    if matrices is None:
        return None
    c, a, b = matrices
    return reshape_like(sum_to_like(matmul(c, transpose(b, -2, -1)), a), like)


def _by_right(node: Node) -> Node | None:
    c, a, like = node.inputs
    if rank_of(like) == 1 and rank_of(a) == _MATRIX:
        return matmul(transpose(a, 0, 1), c)
    matrices = _matrices(c, a, like)
    if matrices is None:
        return None
    c, a, b = matrices
    return reshape_like(sum_to_like(matmul(transpose(a, -2, -1), c), b), like)


def _pair(node: Node) -> Node:
    assert isinstance(node.op, (MatMulLayerNorm, MatMulSoftmax))  # noqa: S101 by the table
    return node.op.pair(node)[1]


def _attention(node: Node, batches: Batches) -> Node | None:
    """Batch the axes in front, which broadcast to those of the queries: these have the batch in any case."""
    query = batches[0]
    operands = lined_up(
        node, [spread(node.inputs[0], any_batch(batches)) if query is None else query, *batches[1:]]
    )
    return None if operands is None else Node(operands, node.op, node.attrs)


def _with_whole_batches(node: Node, batches: Batches) -> Node | None:
    """Batch what has values of the shapes of its operands: each of these has the batch, in front."""
    operands = lined_up(node, spread_all(node, batches))
    if operands is None:
        return None
    # What the value was made with, behind the mask, is computed again.
    count = 4 + len(operands) % 2 if node.op is attention_pullback else len(operands)
    return Node(operands[:count], node.op, node.attrs)


# -- systems of equations -----------------------------------------------------------------------------


def _is_vector(b: Node, a: Node) -> bool | None:
    """Whether ``b`` is vectors, as ``torch.linalg.solve`` tells; None where types leave it open."""
    rank_b, rank_a = rank_of(b), rank_of(a)
    if rank_b is None or rank_a is None:
        return None
    if rank_b in {1, rank_a}:
        return rank_b == 1
    if rank_b != rank_a - 1:
        return False
    assert b.type is not None and a.type is not None  # noqa: PT018, S101 their ranks are known
    sizes = (b.type.shape, (a.type.shape or ())[:-1])
    return None if None in (sizes[0] or ()) or None in sizes[1] else sizes[0] == sizes[1]


def _as_columns(node: Node) -> Node | None:
    b, a = node.inputs
    vector = _is_vector(b, a)
    return None if vector is None else unsqueeze(b, -1) if vector else alias(b)


def _from_columns(node: Node) -> Node | None:
    x, b, a = node.inputs
    vector = _is_vector(b, a)
    return None if vector is None else squeeze(x, -1) if vector else alias(x)


def _pinv(node: Node, batches: Batches) -> Node | None:
    # Tolerances that are operands are one for each matrix of a batch that they broadcast to.
    return Node([any_batch(batches)], node.op, node.attrs) if len(node.inputs) == 1 else None


RULES: dict[type[Op], Rule] = {
    MatMul: _matmul,
    MatMulLeft: as_decomposed(_by_left),
    MatMulRight: as_decomposed(_by_right),
    MatMulLayerNorm: as_decomposed(_pair),
    MatMulSoftmax: as_decomposed(_pair),
    Attention: _attention,
    AttentionPullback: _with_whole_batches,
    AttentionWithLogsumexp: _with_whole_batches,
    AsColumns: as_decomposed(_as_columns),
    FromColumns: as_decomposed(_from_columns),
    Pinv: _pinv,
}

"""What is as close to the true value and cheaper, but rounds in another way."""

from adjoint.core.node import Node
from adjoint.ops.activation import safe_softmax, softmax
from adjoint.ops.arithmetic import add, div, mul, rsqrt, sqrt
from adjoint.ops.attention import causal_bias
from adjoint.ops.contraction import matmul
from adjoint.ops.shape import squeeze, transpose, unsqueeze
from adjoint.passes.facts import constant_of, is_floating, shape_of
from adjoint.passes.rewrite import ROUNDING, Family, except_where, rewrite

__all__ = ['ROUND']

# Factors whose product neither overflows nor vanishes in float32.
_SMALLEST, _LARGEST = 1e-15, 1e15

_MATRIX = 2


@rewrite(mul, exactness=ROUNDING, examples=['(x * 3.0) * 0.7', '0.1 * (x * 3)'])
def product_of_multiple(y: Node) -> Node | None:
    """``(x * c) * d`` is ``x * (c * d)``, for numbers of moderate size."""
    (a, *_) = y.inputs
    c, d = a.attrs.get('constant'), y.attrs.get('constant')
    if a.op is not mul or not is_floating(a.inputs[0]):
        return None
    if not isinstance(c, (int, float)) or not isinstance(d, (int, float)):
        return None
    is_moderate = all(_SMALLEST < abs(number) < _LARGEST for number in (c, d))
    return a.inputs[0] * (c * d) if is_moderate else None


@rewrite(add, exactness=ROUNDING, examples=['(x + 3.0) + 0.7', '0.1 + (x + 3)'])
def sum_of_shifted(y: Node) -> Node | None:
    """``(x + c) + d`` is ``x + (c + d)``."""
    (a, *_) = y.inputs
    c, d = a.attrs.get('constant'), y.attrs.get('constant')
    if a.op is not add or not is_floating(a.inputs[0]):
        return None
    return a.inputs[0] + (c + d) if isinstance(c, (int, float)) and isinstance(d, (int, float)) else None


@rewrite(div, exactness=ROUNDING, examples=['1 / sqrt(p)', 'x / sqrt(p)'])
def over_root(y: Node) -> Node | None:
    """``1 / sqrt(x)`` is ``rsqrt(x)``, and ``a / sqrt(x)`` is ``a * rsqrt(x)``."""
    root = y.inputs[-1]
    if root.op is not sqrt or not is_floating(y):
        return None
    if len(y.inputs) > 1:
        return y.inputs[0] * rsqrt(root.inputs[0])
    return rsqrt(root.inputs[0]) if constant_of(y, 'left') == 1 else None


@rewrite(
    transpose,
    exactness=ROUNDING,
    examples=['transpose(matmul(A, B), 0, 1)', 'transpose(matmul(x, w), -1, -2)'],
)
def transposed_product(y: Node) -> Node | None:
    """``(a @ b).T`` is ``b.T @ a.T``: no other op reads memory across its rows for it."""
    (product,) = y.inputs
    rank = len(shape_of(product) or ())
    if product.op is not matmul or rank < _MATRIX:
        return None
    a, b = product.inputs
    axes = {y.attrs['dim0'] % rank, y.attrs['dim1'] % rank}
    fits = axes == {rank - 2, rank - 1} and len(shape_of(a) or ()) == len(shape_of(b) or ()) == rank
    return matmul(transpose(b, -2, -1), transpose(a, -2, -1)) if fits else None


@rewrite(
    matmul,
    exactness=ROUNDING,
    examples=['A @ unsqueeze(x, -1)', 'transpose(w, 0, 1) @ unsqueeze(unsqueeze(x, 1), -1)'],
)
def columns_as_rows(y: Node) -> Node | None:
    """One matrix times a batch of columns is one product of all columns, as rows, with its transpose."""
    a, b = y.inputs
    columns = shape_of(b) or ()
    if len(shape_of(a) or ()) != _MATRIX or len(columns) <= _MATRIX or columns[-1:] != (1,):
        return None
    return unsqueeze(matmul(squeeze(b, -1), transpose(a, 0, 1)), -1)


@rewrite(
    safe_softmax,
    exactness=except_where('all scores that a query sees are -inf'),
    examples=[
        'safe_softmax(A @ B, -1)',
        'safe_softmax(batch @ batch.mT + causal_bias(batch @ batch.mT), -1)',
    ],
)
def softmax_of_scores(y: Node) -> Node | None:
    """The weights of keys that are not masked are a plain softmax: no row is left out."""
    (scores,) = y.inputs
    if scores.op is add and len(scores.inputs) == 2:  # noqa: PLR2004 a bias
        product, bias = scores.inputs
        # Every query sees the first key.
        scores = product if bias.op is causal_bias and y.attrs['dim'] == -1 else scores
    return Node(y.inputs, softmax, y.attrs) if scores.op is matmul and is_floating(y) else None


ROUND = Family(
    'round',
    'Chains of numbers, reciprocals of roots, transposed products, columns and weights become one op.',
    (
        product_of_multiple, sum_of_shifted, over_root, transposed_product, columns_as_rows,
        softmax_of_scores,
    ),
)  # fmt: skip

"""Where libraries are known to slip: each point with its value, first and second derivative in closed form.

A row is a function of torch, imported; the point; its value; the gradient of the sum of the value; and the
gradient of the inner product of that gradient with 1, 2, 3, ... over the entries of each operand.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import adjoint as ad
from tests.ops.case import t, z

linalg: Any = torch.linalg
INF, NAN, PI, E2 = math.inf, math.nan, math.pi, math.sqrt(2)


@dataclass(frozen=True)
class Slip:
    """One point of one function."""

    function: Callable[..., Tensor]
    at: Sequence[Tensor]
    value: Any
    first: Sequence[Any]
    second: Sequence[Any]


def slip(function: Callable[..., Tensor], at: Any, value: Any, first: Any, second: Any) -> Slip:
    """A row with one operand."""
    return Slip(function, [at if isinstance(at, Tensor) else t(at)], value, [first], [second])


def _empty(x: Tensor) -> Tensor:
    return x.prod() + x.sum() + linalg.vector_norm(x)


def _indexed(*index: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: x[torch.tensor(index)] ** 2


ZERO, ONE, TWO = t([0.0]), t([1.0]), t([2.0])
EYE = torch.eye(2, dtype=torch.float64)
COUNTED = t([[1.0, 2.0], [3.0, 4.0]])  # what second orders are taken along
BOTH = torch.tensor([0, 0])

# The first part of the Cholesky factor of [[a, b], [b, c]] is sqrt(a), the next b / sqrt(a), the last
# sqrt(c - b**2 / a): at 4, 2, 3 their sum has these derivatives by a, b (split over both) and c.
BY_A, BY_B, BY_C = 1 / 8 + 1 / (8 * E2), (1 / 2 - 1 / (2 * E2)) / 2, 1 / (2 * E2)

# The cofactors of a matrix of ones are 0, and so is their derivative along 1, ..., 9: evenly spaced rows.
NOUGHT = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]

SLIPS: dict[str, Slip] = {
    # Ties: torch's conventions.
    'amax shares a tie': slip(lambda x: x.amax(0), [1.0, 3.0, 3.0], 3.0, [0.0, 0.5, 0.5], [0.0] * 3),
    'amin shares a tie': slip(lambda x: x.amin(0), [1.0, 1.0, 3.0], 1.0, [0.5, 0.5, 0.0], [0.0] * 3),
    'max gives a tie to its index': slip(
        lambda x: x.max(0)[0], [1.0, 3.0, 3.0], 3.0, [0.0, 1.0, 0.0], [0.0] * 3,
    ),
    'min gives a tie to its index': slip(
        lambda x: x.min(0)[0], [1.0, 1.0, 3.0], 1.0, [1.0, 0.0, 0.0], [0.0] * 3,
    ),
    'median shares a tie': slip(torch.median, [2.0, 1.0, 2.0, 3.0], 2.0, [0.5, 0.0, 0.5, 0.0], [0.0] * 4),
    'maximum of equals': Slip(torch.maximum, [TWO, TWO], [2.0], [[0.5], [0.5]], [[0.0], [0.0]]),
    'minimum of equals': Slip(torch.minimum, [TWO, TWO], [2.0], [[0.5], [0.5]], [[0.0], [0.0]]),
    'clamp at its bounds': slip(
        lambda x: x.clamp(0, 1), [0.0, 1.0, 0.5, -1.0], [0.0, 1.0, 0.5, 0.0], [1.0, 1.0, 1.0, 0.0], [0.0] * 4
    ),
    # Products with zeros.
    'prod with a zero': slip(torch.prod, [2.0, 0.0, 3.0], 0.0, [0.0, 6.0, 0.0], [6.0, 9.0, 4.0]),
    'prod with two zeros': slip(torch.prod, [0.0, 0.0, 3.0], 0.0, [0.0, 0.0, 0.0], [6.0, 3.0, 0.0]),
    'cumprod with a zero': slip(
        lambda x: x.cumprod(0), [2.0, 0.0, 3.0], [2.0, 0.0, 0.0], [1.0, 8.0, 0.0], [8.0, 10.0, 4.0]
    ),
    'cumprod with two zeros': slip(
        lambda x: x.cumprod(0), [0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [8.0, 4.0, 0.0]
    ),
    # Spread without any.
    'norm of zeros': slip(linalg.vector_norm, [0.0, 0.0], 0.0, [0.0, 0.0], [0.0, 0.0]),
    'norm of one': slip(linalg.vector_norm, [-3.0], 3.0, [-1.0], [0.0]),
    'norm of order 1/2 with a zero': slip(
        lambda x: linalg.vector_norm(x, 0.5), [1.0], 1.0, [1.0], [0.0]
    ),
    'std of a constant': slip(torch.std, [2.0, 2.0, 2.0], 0.0, [0.0] * 3, [0.0] * 3),
    'var of a constant': slip(torch.var, [2.0, 2.0, 2.0], 0.0, [0.0] * 3, [-1.0, 0.0, 1.0]),
    'std of one, unbiased': slip(torch.std, [2.0], NAN, [NAN], [NAN]),
    'std of one': slip(lambda x: x.std(correction=0), [2.0], 0.0, [0.0], [0.0]),
    'var of one, unbiased': slip(torch.var, [2.0], NAN, [NAN], [NAN]),
    'var of one': slip(lambda x: x.var(correction=0), [2.0], 0.0, [0.0], [0.0]),
    # Powers and logarithms at 0.
    'x**0': slip(lambda x: x**0, [0.0, 2.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]),
    'x**1': slip(lambda x: x**1, [0.0, 2.0], [0.0, 2.0], [1.0, 1.0], [0.0, 0.0]),
    'x**2': slip(lambda x: x**2, [0.0, 2.0], [0.0, 4.0], [0.0, 4.0], [2.0, 4.0]),
    'x to the power of 0': slip(lambda x: torch.pow(x, ZERO), [0.0], [1.0], [0.0], [0.0]),
    'x to the power of 2': slip(lambda x: torch.pow(x, TWO), [0.0], [0.0], [0.0], [2.0]),
    '0**y': slip(lambda y: 0**y, [0.0, 1.0, 2.0], [1.0, 0.0, 0.0], [0.0] * 3, [0.0] * 3),
    '0 to the power of y': slip(lambda y: torch.pow(ZERO, y), [0.0], [1.0], [0.0], [0.0]),
    # The root has the slope inf at 0, which the slope 0 of the square does not undo.
    'sqrt(x**2)': slip(lambda x: (x**2).sqrt(), [0.0, -2.0], [0.0, 2.0], [NAN, -1.0], [NAN, 0.0]),
    'abs': slip(torch.abs, [0.0, -2.0], [0.0, 2.0], [0.0, -1.0], [0.0, 0.0]),
    'xlogy at 0 of 2': Slip(torch.xlogy, [ZERO, TWO], [0.0], [[math.log(2)], [0.0]], [[0.5], [0.5]]),
    'xlogy of a zero that stays': slip(lambda y: torch.xlogy(ZERO, y), [2.0], [0.0], [0.0], [0.0]),
    'sinc': slip(
        torch.sinc, [0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-(PI**2) / 3, 4.0]
    ),
    'hypot': Slip(torch.hypot, [ZERO, ZERO], [0.0], [[0.0], [0.0]], [[0.0], [0.0]]),
    'hypot beside the origin': Slip(
        torch.hypot, [t([3.0]), t([4.0])], [5.0], [[0.6], [0.8]], [[0.032], [-0.024]],
    ),
    'atan2': Slip(torch.atan2, [ZERO, ZERO], [0.0], [[0.0], [0.0]], [[0.0], [0.0]]),
    'atan2 on the cut': Slip(torch.atan2, [ZERO, -ONE], [PI], [[-1.0], [0.0]], [[-1.0], [-1.0]]),
    # Exponentials without bounds.
    'log_softmax of huge': slip(
        lambda x: x.log_softmax(0)[0], [1e4, 0.0], 0.0, [0.0, 0.0], [0.0, 0.0]
    ),
    'log_softmax of equals': slip(
        lambda x: x.log_softmax(0)[0], [5.0, 5.0], -math.log(2), [0.5, -0.5], [0.25, -0.25]
    ),
    'log_softmax of -inf': slip(lambda x: x.log_softmax(0), [-INF, -INF], [NAN, NAN], [NAN, NAN], [NAN, NAN]),
    'logsumexp of huge': slip(lambda x: x.logsumexp(0), [1e4, 0.0], 1e4, [1.0, 0.0], [0.0, 0.0]),
    'logsumexp of equals': slip(
        lambda x: x.logsumexp(0), [5.0, 5.0], 5 + math.log(2), [0.5, 0.5], [-0.25, 0.25]
    ),
    'logsumexp with -inf': slip(lambda x: x.logsumexp(0), [-INF, 1.0], 1.0, [0.0, 1.0], [0.0, 0.0]),
    'logsumexp of -inf': slip(lambda x: x.logsumexp(0), [-INF, -INF], -INF, [NAN, NAN], [NAN, NAN]),
    # Matrices.
    'det of rank 1': slip(
        linalg.det, [[1.0, 2.0], [2.0, 4.0]], 0.0, [[4.0, -2.0], [-2.0, 1.0]], [[4.0, -3.0], [-2.0, 1.0]],
    ),
    'det of rank 0': slip(
        linalg.det, [[0.0, 0.0], [0.0, 0.0]], 0.0, [[0.0, 0.0], [0.0, 0.0]], [[4.0, -3.0], [-2.0, 1.0]],
    ),
    'det of rank 1, of 3': slip(linalg.det, [[1.0] * 3] * 3, 0.0, NOUGHT, NOUGHT),
    'cholesky': slip(
        linalg.cholesky, [[4.0, 2.0], [2.0, 3.0]], [[2.0, 0.0], [1.0, E2]], [[BY_A, BY_B], [BY_B, BY_C]], None
    ),
    'eigenvalues of what is symmetric': slip(
        lambda x: linalg.eigvalsh(x) ** 2, [[2.0, 1.0], [1.0, 2.0]], [1.0, 9.0],
        [[4.0, 2.0], [2.0, 4.0]], [[2.0, 5.0], [5.0, 8.0]],
    ),
    'equal eigenvalues': slip(lambda x: linalg.eigvalsh(x) ** 2, EYE, [1.0, 1.0], 2 * EYE, [[NAN] * 2] * 2),
    'vectors of equal eigenvalues': slip(
        lambda x: linalg.eigh(x)[1] ** 3, EYE, EYE, [[NAN] * 2] * 2, [[NAN] * 2] * 2
    ),
    'singular values': slip(
        lambda x: linalg.svdvals(x) ** 2, [[2.0, 0.0], [0.0, 1.0]], [4.0, 1.0],
        [[4.0, 0.0], [0.0, 2.0]], 2 * COUNTED,
    ),
    'equal singular values': slip(
        lambda x: linalg.svdvals(x) ** 2, EYE, [1.0, 1.0], 2 * EYE, [[NAN] * 2] * 2,
    ),
    'tall QR': slip(
        lambda x: (linalg.qr(x)[1] ** 2).sum(), [[3.0, 1.0], [4.0, 2.0], [0.0, 2.0]], 34.0,
        [[6.0, 2.0], [8.0, 4.0], [0.0, 4.0]], [[2.0, 4.0], [6.0, 8.0], [10.0, 12.0]],
    ),
    'wide QR': slip(
        lambda x: (linalg.qr(x)[1] ** 2).sum(), [[3.0, 4.0, 0.0], [1.0, 2.0, 2.0]], 34.0,
        [[6.0, 8.0, 0.0], [2.0, 4.0, 4.0]], [[2.0, 4.0, 6.0], [8.0, 10.0, 12.0]],
    ),
    # Indices.
    'duplicate and negative indices': slip(
        _indexed(0, 0, -1), [1.0, 2.0, 3.0], [1.0, 1.0, 9.0], [4.0, 0.0, 6.0], [4.0, 0.0, 6.0]
    ),
    'boolean index': slip(
        _indexed(True, False, True), [1.0, 2.0, 3.0], [1.0, 9.0], [2.0, 0.0, 6.0], [2.0, 0.0, 6.0],
    ),
    'index_put adds duplicates': Slip(
        lambda x, v: x.index_put((BOTH,), v, accumulate=True) ** 2, [t([1.0, 2.0]), t([3.0, 4.0])],
        [64.0, 4.0], [[16.0, 4.0], [16.0, 16.0]], [[8.0, 4.0], [8.0, 8.0]],
    ),
    # Views.
    'expanded': slip(lambda x: x.expand(3, 2) ** 2, [1.0, 2.0], [[1.0, 4.0]] * 3, [6.0, 12.0], [6.0, 12.0]),
    'overlapping': slip(
        lambda x: x.unfold(0, 2, 1) ** 2, [1.0, 2.0, 3.0], [[1.0, 4.0], [4.0, 9.0]],
        [2.0, 8.0, 6.0], [2.0, 8.0, 6.0],
    ),
    'empty': slip(_empty, [], 1.0, [], []),
    # From complex numbers to real ones and back; a gradient is ready for descent.
    'abs of a complex 0': slip(torch.abs, z([0j]), [0.0], [0j], [0j]),
    'real part of a square': slip(
        lambda x: (x * x).real, z([1 + 2j]), [-3.0], [2 - 4j], [2.0 + 0j]
    ),
    'real to complex and back': slip(
        lambda x: torch.complex(x, 2 * x).abs() ** 2, [3.0], [45.0], [30.0], [10.0]
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', SLIPS)
def test_slip(name: str) -> None:
    row = SLIPS[name]
    graph = ad.from_torch(row.function, *row.at)
    firsts = ad.gradients(graph.outputs, graph.variables)
    along = [torch.arange(1, x.numel() + 1).reshape(x.shape).to(x.dtype) for x in row.at]
    products = [ad.sum(ad.real(g * v)) for g, v in zip(firsts, along, strict=True)]
    seconds = ad.gradients(sum(products[1:], products[0]), graph.variables)
    value, *found = ad.Evaluator([graph.outputs, *firsts, *seconds]).run(graph.feed(*row.at))
    _same(value, row.value, value)
    for got, wanted, x in zip(found, [*row.first, *row.second], [*row.at, *row.at], strict=True):
        if wanted is not None:
            _same(got, wanted, x)


def _same(got: Tensor, wanted: Any, like: Tensor) -> None:
    expected = torch.as_tensor(wanted, dtype=like.dtype).reshape(like.shape)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.complex64])
def test_a_gradient_has_the_dtype_and_shape_of_its_operand(dtype: torch.dtype) -> None:
    x, scalar = torch.ones(3, dtype=dtype), torch.tensor(2.0, dtype=torch.float64)
    graph = ad.from_torch(lambda x, s, n: (x * s + n) ** 2, x, scalar, torch.arange(3))
    grads = ad.gradients(graph.outputs, graph.variables[:2])
    by_x, by_s = ad.Evaluator(grads).run(graph.feed(x, scalar, torch.arange(3)))
    assert (by_x.dtype, by_x.shape) == (dtype, (3,))
    assert (by_s.dtype, by_s.shape) == (torch.float64, ())
    torch.testing.assert_close(by_x, torch.tensor([8.0, 12.0, 16.0], dtype=dtype))
    assert by_s.item() == 18


def test_the_last_of_duplicates_is_put() -> None:
    x, v = t([1.0, 2.0]), t([3.0, 4.0])
    graph = ad.from_torch(lambda x, v: x.index_put((BOTH,), v) ** 2, x, v)
    value, by_x = ad.Evaluator([graph.outputs, *ad.gradients(graph.outputs, graph.variables[:1])]).run(
        graph.feed(x, v)
    )
    assert value.tolist() == [16.0, 4.0]
    assert by_x.tolist() == [0.0, 4.0]


@pytest.mark.parametrize('program', [lambda x: x.argmax(), lambda x: x > 1, lambda x: x.long()])
def test_an_integer_is_not_connected(program: Callable[[Tensor], Tensor]) -> None:
    x = t([1.0, 3.0])
    graph = ad.from_torch(program, x)
    assert ad.pushforward(graph.outputs, {graph.variables[0]: ad.ones_like(graph.variables[0])}) is None
    product = graph.outputs * graph.variables[0]
    (g,) = ad.Evaluator(ad.gradients(product, graph.variables)).run(graph.feed(x))
    torch.testing.assert_close(g, program(x) * torch.ones(2, dtype=x.dtype))


def test_what_shares_memory_is_what_the_evaluator_says() -> None:
    """One node twice, a view of an operand, the cotangent of a sum: nothing else."""
    x, y = ad.Variable('x'), ad.Variable('y')
    feed = {x: t([1.0, 2.0]), y: t([3.0, 4.0])}
    same = ad.Evaluator([x + y, x + y, *ad.gradients(x * y, [x, y]), ad.exp(x)]).run(feed)
    places = [v.untyped_storage().data_ptr() for v in [*same[:2], same[4]]]
    assert len({*places, *(v.untyped_storage().data_ptr() for v in feed.values())}) == 5
    shared = ad.Evaluator([x, ad.transpose(x, 0, 0), *ad.gradients(x + y, [x, y])]).run(feed)
    assert all(v.untyped_storage().data_ptr() == feed[x].untyped_storage().data_ptr() for v in shared[:2])
    assert shared[2].untyped_storage().data_ptr() == shared[3].untyped_storage().data_ptr()

"""What is written between nodes, tensors and numbers gives what torch gives."""

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch

import adjoint as ad

FLOATS = (
    torch.tensor([2.5, -3.0, 0.5], dtype=torch.float64),
    torch.tensor([1.5, 2.0, -0.5], dtype=torch.float64),
)
INTEGERS = (torch.tensor([6, -3, 5]), torch.tensor([3, 2, -4]))
TRUTHS = (torch.tensor([True, True, False]), torch.tensor([True, False, False]))

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod]
COMPARISONS = [operator.gt, operator.ge, operator.lt, operator.le]
OF_BITS = [operator.and_, operator.or_, operator.xor]

CASES: list[Any] = [
    *((f, FLOATS, 1.5) for f in (*ARITHMETIC, *COMPARISONS)),
    *((f, INTEGERS, 4) for f in (*ARITHMETIC, *OF_BITS)),
    *((f, TRUTHS, True) for f in OF_BITS),
    (operator.pow, (FLOATS[0].abs(), FLOATS[1].abs()), 1.5),
    (operator.matmul, FLOATS, None),
]


def named(case: Any) -> str:
    return f'{case[0].__name__}-{case[1][0].dtype}'


@pytest.mark.parametrize('typed', [True, False])
@pytest.mark.parametrize(('function', 'values', 'number'), CASES, ids=map(named, CASES))
def test_on_either_side(
    function: Callable[[Any, Any], Any], values: tuple[torch.Tensor, torch.Tensor], number: Any, typed: bool
) -> None:
    a, b = values
    x, y = (
        ad.Variable(n, v.shape, v.dtype) if typed else ad.Variable(n)
        for n, v in zip('xy', values, strict=True)
    )
    pairs = [
        (function(x, y), function(a, b)),
        (function(x, b), function(a, b)),
        (function(a, y), function(a, b)),
    ]
    if number is not None:
        pairs += [(function(x, number), function(a, number)), (function(number, x), function(number, a))]
    got = ad.Evaluator([node for node, _ in pairs]).run({x: a, y: b})
    for ours, (_, theirs) in zip(got, pairs, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize(
    ('function', 'value'),
    [
        (operator.invert, TRUTHS[0]), (operator.invert, INTEGERS[0]), (operator.neg, FLOATS[0]),
        (operator.abs, FLOATS[0]), (operator.pos, FLOATS[0]),
    ],
)  # fmt: skip
def test_of_one_operand(function: Callable[[Any], Any], value: torch.Tensor) -> None:
    x = ad.Variable('x')
    (got,) = ad.Evaluator([function(x)]).run({x: value})
    assert torch.equal(got, function(value))


def test_masks_are_combined_as_on_tensors() -> None:
    x = torch.tensor([-1.0, 0.5, 3.0])
    found = ad.grad(lambda x: torch.where((x > 0) & ~(x > 2), x * x, 0).sum())(x)
    assert torch.equal(found, torch.tensor([0.0, 1.0, 0.0]))


def test_the_derivatives_of_remainders_are_those_of_torch() -> None:
    x = torch.tensor([2.5, -3.2, 0.7], dtype=torch.float64)
    found = ad.grad(lambda x: ((x % 1.5) * (x // 1.5) + x).sum())(x)
    wanted = torch.func.grad(lambda x: ((x % 1.5) * (x // 1.5).detach() + x).sum())(x)
    torch.testing.assert_close(found, wanted)


def test_entries_are_not_written_in_place() -> None:
    x = ad.Variable('x', (3,))
    with pytest.raises(
        ad.TensorTypeError, match=r'(?s)a node never changes.*torch\.where.*index_put.*scatter.*x\[0\] = 1'
    ):
        x[0] = 1  # pyright: ignore[reportIndexIssue]


def test_not_of_floating_numbers_is_refused() -> None:
    with pytest.raises(ad.TensorTypeError, match='bitwise_not works on integers and booleans'):
        _ = ~ad.Variable('x', (3,), torch.float64)


@pytest.mark.parametrize('shape', [(), (3,), (2, 3)])
def test_the_transpose_of_a_vector_is_itself(shape: tuple[int, ...]) -> None:
    value = torch.arange(6.0)[: max(1, int(torch.tensor(shape).prod()))].reshape(shape)
    x = ad.Variable('x', shape)
    for node in (x.T, x.t(), torch.t(x)):
        assert torch.equal(ad.Evaluator([node]).run({x: value})[0], value.t())


def test_the_transpose_of_more_than_two_axes_is_refused() -> None:
    x = ad.Variable('x', (2, 3, 4))
    with pytest.raises(ad.ShapeError, match=r'(?s)t is of a matrix or a vector: mT .*test_operators.py'):
        torch.t(x)


def test_a_node_in_the_place_of_a_number_is_refused_with_the_line() -> None:
    x = ad.Variable('x', (3,), torch.float64)
    with pytest.raises(
        ad.UnsupportedOpError, match=r"(?s)fill_value of full is a number .* node 'getitem.*'.*in_the_place"
    ):
        torch.full((2,), x[0])


def test_a_node_as_what_is_filled_in() -> None:
    x, index = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 2])
    for transform in (ad.grad, torch.func.grad):
        found = transform(lambda x: (x.index_fill(0, index, x[1] * 3) ** 2).sum())(x)
        assert found.tolist() == [0.0, 76.0, 0.0]


def test_numbers_between_nodes() -> None:
    at = torch.tensor([0.5, 2.0], dtype=torch.float64)
    weights = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)

    def f(x: Any) -> Any:
        return (torch.linspace(x[0], x[1], 3) * weights).sum()

    # the entries are start, the mean of both, and end
    torch.testing.assert_close(ad.grad(f)(at), torch.tensor([3.5, 2.5], dtype=torch.float64))

"""Types: declared, inferred, checked where they are written."""

import pytest
import torch

import adjoint as ad


def var(name: str, *shape: int | str | None, dtype: torch.dtype | None = torch.float64) -> ad.Node:
    return ad.Variable(name, shape=shape, dtype=dtype)


@pytest.mark.parametrize(
    ('build', 'expected'),
    [
        (lambda: var('a', 'n', 3) @ var('b', 3, 4), 'float64[n, 4]'),
        (lambda: var('a', 'n', 3) + var('b', 3), 'float64[n, 3]'),
        (lambda: var('a', 'n', 3) + var('b', 'n', 1), 'float64[n, 3]'),
        (lambda: ad.sum(var('a', 'n', 'm'), 0), 'float64[m]'),
        (lambda: ad.sum(var('a', 'n', 'm'), 1, keepdim=True), 'float64[n, 1]'),
        (lambda: ad.mean(var('a', 'n', 'm')), 'float64[]'),
        (lambda: ad.transpose(var('a', 'n', 'm'), 0, 1), 'float64[m, n]'),
        (lambda: ad.softmax(var('a', 'n', 5)), 'float64[n, 5]'),
        (lambda: ad.cat([var('a', 'n', 3), var('b', 'n', 4)], 1), 'float64[n, 7]'),
        (lambda: ad.cat([var('a', 'n'), var('b', 'm')]), 'float64[?]'),
        (lambda: var('a', 'n', 4)[:, :2], 'float64[n, 2]'),
        (lambda: ad.reshape(var('a', 'n', 4), -1, 2, 2), 'float64[n, 2, 2]'),
        (lambda: ad.argmax(var('a', 'n', 4), 1), 'int64[n]'),
        (lambda: var('a', 3) > 0, 'bool[3]'),
        (lambda: var('a', 3, dtype=torch.float16) * var('b', 3, dtype=torch.float32), 'float32[3]'),
        (lambda: var('a', 3, dtype=torch.int64) * 2.5, 'float32[3]'),
        (lambda: var('a', 3, dtype=torch.int64) * 2, 'int64[3]'),
        (lambda: ad.abs(var('a', 3, dtype=torch.complex128)), 'float64[3]'),
        (lambda: var('a', 2, dtype=None) * 2, 'any[2]'),
        (lambda: ad.sin(ad.Variable('a', dtype=torch.float32)), 'float32[...]'),
        (lambda: ad.constant(torch.ones(2, 3)), 'float32[2, 3]'),
        (lambda: var('a', None, 3) @ var('b', 3, 2), 'float64[?, 2]'),
    ],
)
def test_types_are_inferred(build: object, expected: str) -> None:
    assert str(build().type) == expected


def test_what_is_not_known_stays_unknown() -> None:
    assert (ad.Variable('x') * var('a', 3)).type is None
    assert ad.matmul(ad.Variable('x', dtype=torch.float64), var('a', 3)).type is None


@pytest.mark.parametrize(
    'build',
    [
        lambda: var('a', 2, 3) @ var('b', 2, 3),
        lambda: var('a', 'n', 3) + var('b', 'm', 3),
        lambda: var('a', 'n') + var('b', 3),
        lambda: ad.sum(var('a', 2, 3), 2),
        lambda: ad.transpose(var('a', 2), 0, 1),
        lambda: ad.reshape(var('a', 2, 3), 4),
        lambda: ad.cat([var('a', 2, 3), var('b', 2, 4)]),
        lambda: ad.broadcast(var('a', 3, 2), [2, 3], [2, 2, 3]),
        lambda: var('a', 2, 3)[5],
        lambda: ad.layernorm(var('a', 3), (2, 3)),
        lambda: ad.expand_as(var('a', 2, 3), var('b', 3)),
    ],
)
def test_a_mismatch_fails_at_the_line_that_wrote_it(build: object) -> None:
    with pytest.raises(ad.ShapeError) as caught:
        build()
    message = str(caught.value)
    assert 'test_types.py' in message
    assert 'lambda:' in message


def test_a_product_of_two_dtypes_fails_at_its_line() -> None:
    with pytest.raises(ad.TensorTypeError, match=r'float64\[2, 3\] @ float32\[3, 2\]: cast'):
        ad.matmul(var('a', 2, 3), var('b', 3, 2, dtype=torch.float32))


def test_a_mismatch_names_operands_and_sizes() -> None:
    with pytest.raises(ad.ShapeError, match=r'\[2, 3\] X \[n, 4\]') as caught:
        ad.matmul(var('weights', 2, 3), var('data', 'n', 4))
    message = str(caught.value)
    assert '0: float64[2, 3]    weights' in message
    assert '1: float64[n, 4]    data' in message


@pytest.mark.parametrize('shape', ['abc', 3, (1.5,), (-1,), ('a b',), (True,)])
def test_a_bad_shape_is_refused(shape: object) -> None:
    with pytest.raises(ad.TensorTypeError, match='shape'):
        ad.Variable('x', shape=shape)


def test_a_bad_name_or_dtype_is_refused() -> None:
    with pytest.raises(ad.TensorTypeError, match='name is a string; got 3'):
        ad.Variable(3)
    with pytest.raises(ad.TensorTypeError, match=r'must be a torch\.dtype'):
        ad.Variable('x', dtype='float32')


def test_where_types_are_known_the_derivative_has_no_bookkeeping() -> None:
    x = var('x', 'n')
    (g,) = ad.gradients(ad.sin(x) * x, [x])
    names = {n.op.name for n in ad.topological_sort(g)}
    assert names <= {'placeholder', 'sin', 'cos', 'mul', 'add', 'ones_like'}


def test_types_of_gradients_are_those_of_what_they_are_the_gradient_of() -> None:
    x, w = var('x', 'n', 3, dtype=torch.float32), var('w', 3, 2, dtype=torch.float32)
    for node, g in zip((x, w), ad.gradients(ad.mean(ad.relu(x @ w)), [x, w]), strict=True):
        assert g.type == node.type


def test_equal_numbers_of_other_kinds_do_not_share_a_cached_type() -> None:
    x = var('x', 3, dtype=torch.int64)
    assert [(x * c).type.dtype for c in (1, 1.0, True, 1.0, 1)] == [
        torch.int64,
        torch.float32,
        torch.int64,
        torch.float32,
        torch.int64,
    ]


class OnHost(ad.Op):
    """An op that cannot run without data."""

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.from_numpy(input_values[0].numpy() * 2)


def test_an_op_that_needs_data_has_an_unknown_type_and_still_runs() -> None:
    x = var('x', 2)
    y = OnHost()(x)
    assert y.type is None
    (value,) = ad.Evaluator([y]).run({x: torch.ones(2, dtype=torch.float64)})
    assert value.tolist() == [2.0, 2.0]

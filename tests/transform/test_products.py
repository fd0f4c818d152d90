"""vjp, jvp, linearize, hvp, ggnvp: what they take, what they return, and what they compute how often."""

import itertools
from typing import Any

import pytest
import torch

import adjoint as ad


class Counting(ad.Unary):
    """The sine, counting how often it is computed."""

    def __init__(self) -> None:
        self.runs = 0

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        self.runs += input_values[0].device.type != 'meta'
        return torch.sin(input_values[0])

    def partial(self, y: ad.Node, x: ad.Node) -> ad.Node:
        return ad.cos(x)


X = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)


def test_the_point_is_computed_once_for_all_calls_of_a_linear_function():
    op = Counting()

    def f(x: Any) -> Any:
        return op(x) * op(x)

    for make in (ad.vjp, ad.linearize):
        op.runs = 0
        value, linear = make(f, X)
        assert op.runs == 2
        for t in (X, 2 * X):
            out = linear(t)
            got = out[0] if make is ad.vjp else out
            torch.testing.assert_close(got, t * torch.sin(2 * X), rtol=1e-14, atol=1e-14)
        assert op.runs == 2
        torch.testing.assert_close(value, torch.sin(X) ** 2, rtol=1e-15, atol=0)


def test_a_linear_function_holds_the_graph_of_what_depends_on_its_operands():
    _, along = ad.linearize(lambda x: torch.exp(torch.sin(x)), X)
    (ct,) = along.body.inputs[:1]
    assert ct.type.shape == (3,)
    assert {n.op.name for n in ad.topological_sort(along.body.outputs)} == {'placeholder', 'mul'}
    assert 'residuals' in repr(along)


@pytest.mark.parametrize('transform', [ad.vjp, ad.linearize, ad.jvp, ad.hvp])
def test_without_arguments_the_function_is_traced_once_for_each_signature(transform: Any):
    calls = itertools.count()

    def f(x: Any) -> Any:
        next(calls)
        return torch.sum(x**3)

    prepared = transform(f)
    for scale in (1.0, 2.0, 3.0):
        if transform in {ad.vjp, ad.linearize}:
            prepared(X * scale)
        else:
            prepared((X * scale,), (X,))
    assert next(calls) == 1
    assert ad.vjp(lambda x, k: x * k)(X, k=2)[0].tolist() == (2 * X).tolist()


def test_auxiliary_results_come_along():
    def f(x: Any) -> Any:
        return x * x, {'label': 'as it is', 'sum': x.sum()}

    value, pullback, rest = ad.vjp(f, X, has_aux=True)
    assert pullback(torch.ones_like(X))[0].tolist() == (2 * X).tolist()
    assert (rest['label'], float(rest['sum'])) == ('as it is', 1.5)
    value, along, rest = ad.linearize(f, X, has_aux=True)
    assert along(X).tolist() == (2 * X * X).tolist()
    value, tangent, rest = ad.jvp(f, (X,), (X,), has_aux=True)
    assert tangent.tolist() == (2 * X * X).tolist()
    assert value.tolist() == (X * X).tolist()
    J, rest = ad.jacobian(f, has_aux=True)(X)
    assert J.diagonal().tolist() == (2 * X).tolist()
    assert rest['label'] == 'as it is'
    H, rest = ad.hessian(lambda x: ((x**3).sum(), 'aux'), has_aux=True)(X)
    assert H.diagonal().tolist() == (6 * X).tolist()
    assert rest == 'aux'


def test_what_has_no_tangent_is_held_fixed():
    def loss(p: Any, labels: Any, power: int) -> Any:
        return (p['w'] ** power * p['b']).sum() + labels.sum()

    p = {'w': X, 'b': torch.tensor(2.0, dtype=torch.float64)}
    labels = torch.tensor([1, 2, 3])
    t = {'w': torch.ones_like(X), 'b': None}
    _, tangent = ad.jvp(loss, (p, labels, 3), (t, None, None))
    torch.testing.assert_close(tangent, (6 * X**2).sum(), rtol=1e-14, atol=0)
    by_p, by_labels, by_power = ad.hvp(loss, (p, labels, 3), (t, None, None))
    torch.testing.assert_close(by_p['w'], 12 * X, rtol=1e-14, atol=0)
    assert (by_p['b'], by_labels, by_power) == (None, None, None)


def test_numbers_are_operands():
    assert ad.jvp(lambda x: x * x, (3.0,), (1,))[1] == 6
    _, pullback = ad.vjp(lambda x: x.sum() * 2, X)
    assert pullback(0.5)[0].tolist() == [1, 1, 1]


def test_products_are_part_of_a_graph_of_nodes():
    x, t = ad.Variable('x'), ad.Variable('t')
    value, pullback = ad.vjp(torch.sin, x)
    (pulled,) = pullback(t)
    (product,) = ad.hvp(lambda x: torch.sum(x**3), (x,), (t,))
    (second,) = ad.gradients(pulled, [x])
    at = {x: X, t: torch.ones_like(X)}
    got = ad.Evaluator([value, pulled, product, second]).run(at)
    for a, b in zip(got, [torch.sin(X), torch.cos(X), 6 * X, -torch.sin(X)], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-14, atol=1e-14)


def test_a_pullback_made_of_tensors_is_applied_to_nodes():
    _, pullback = ad.vjp(torch.exp, X)
    got = ad.grad(lambda ct: (pullback(ct * ct)[0]).sum())(X)
    torch.testing.assert_close(got, 2 * X * torch.exp(X), rtol=1e-14, atol=0)


def test_inner_and_outer_tangents_are_not_confused():
    got = ad.grad(lambda x: x * ad.jvp(lambda y: x + y, (1.0,), (1.0,))[1])(torch.tensor(3.0))
    assert got == 1
    got = ad.jvp(lambda x: x * ad.jvp(lambda y: x * y, (x,), (1.0,))[1], (3.0,), (1.0,))[1]
    assert got == 6


def test_graph_of_a_product_can_be_held():
    graph = ad.jvp(torch.sin).graph((X,), (X,))
    assert [str(v) for v in graph.variables] == ['arg0', 't_arg0']
    found = ad.Evaluator(list(graph.outputs)).run(dict(zip(graph.variables, [X, X], strict=True)))
    torch.testing.assert_close(found, [torch.sin(X), torch.cos(X) * X], rtol=1e-15, atol=0)


@pytest.mark.parametrize(
    ('action', 'kind', 'message'),
    [
        (lambda: ad.vjp(torch.sin, X)[1](X[:2]), ad.ShapeError, r'ct is float64\[2\], and the value of sin'),
        (lambda: ad.vjp(torch.sin, X)[1](X.float()), ad.TensorTypeError, r'with .to\(torch.float64'),
        (lambda: ad.vjp(torch.sin, X)[1]((X,)), ad.TensorTypeError, 'the structure of the value'),
        (lambda: ad.vjp(torch.sin, torch.tensor(1)), ad.NonDifferentiableError, 'int64'),
        (lambda: ad.vjp(lambda x: x > 0, X), ad.NonDifferentiableError, 'returned bool.*has_aux'),
        (lambda: ad.linearize(lambda x: 'a', X), ad.TensorTypeError, "returned 'a'.*has_aux"),
        (lambda: ad.vjp(lambda x: x, X, has_aux=True), ad.TensorTypeError, 'must return .value, auxiliary'),
        (lambda: ad.jvp(torch.sin, X, X), ad.TensorTypeError, 'primals are a tuple'),
        (lambda: ad.jvp(torch.sin, (X,), ()), ad.TensorTypeError, '1 primals and 0 tangents'),
        (lambda: ad.jvp(torch.sin, (X,)), ad.TensorTypeError, 'or neither'),
        (lambda: ad.jvp(torch.sin, (X,), (X[:2],)), ad.ShapeError, r'tangent of arg0 is float64\[2\]'),
        (lambda: ad.jvp(torch.sin, (X,), ('a',)), ad.TensorTypeError, "tangent of arg0 is 'a'"),
        (lambda: ad.jvp(lambda p: p['a'], ({'a': X},), ({'b': X},)), ad.TensorTypeError, 'another structure'),
        (lambda: ad.jvp(lambda n: n, (3,), (1,)), ad.NonDifferentiableError, 'n is 3, an integer'),
        (lambda: ad.hvp(torch.sin, (X,), (X,)), ad.ShapeError, 'sin must return a scalar'),
        (lambda: ad.ggnvp(torch.sin, torch.sin, (X,), (X,)), ad.ShapeError, 'must return a scalar'),
        (lambda: ad.ggnvp(torch.sin, 3, (X,), (X,)), ad.TensorTypeError, 'a function is differentiated'),
        (lambda: ad.jacobian(torch.sin, mode='both')(X), ad.TensorTypeError, "'forward', 'reverse' or None"),
    ],
)  # fmt: skip
def test_misuse_is_explained(action: Any, kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        action()

"""The function level: grad and value_and_grad of plain Python functions."""

import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import adjoint as ad


def network(p: dict[str, Any], x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    h = torch.nn.functional.layer_norm(x @ p['w'], (4,), p['norm'][0], p['norm'][1])
    h = torch.relu(h) + torch.tanh(h).pow(2).mean(dim=-1, keepdim=True)
    logits = torch.nn.functional.linear(h, p['head'], None)
    return torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2, 1])) * scale


def parameters() -> dict[str, Any]:
    shapes = {'w': (5, 4), 'head': (3, 4)}
    made: dict[str, Any] = {n: torch.randn(s, dtype=torch.float64) for n, s in shapes.items()}
    made['norm'] = (torch.randn(4, dtype=torch.float64), torch.randn(4, dtype=torch.float64))
    return made


def test_the_gradient_of_a_network_has_the_structure_of_its_parameters() -> None:
    p, x = parameters(), torch.randn(3, 5, dtype=torch.float64)
    value, got = ad.value_and_grad(network)(p, x, scale=2.0)
    leaves = [p['w'], p['head'], *p['norm']]
    for leaf in leaves:
        leaf.requires_grad_()
    expected = network(p, x, 2.0)
    grads = torch.autograd.grad(expected, leaves)
    assert torch.allclose(value, expected, rtol=1e-13)
    assert isinstance(got['norm'], tuple)
    for g, e in zip((got['w'], got['head'], *got['norm']), grads, strict=True):
        assert torch.allclose(g, e, rtol=1e-11, atol=1e-13)


def test_the_function_is_traced_once_for_each_signature() -> None:
    calls: list[int] = []

    def f(x: torch.Tensor, power: int) -> torch.Tensor:
        calls.append(power)
        return torch.sum(x**power)

    g = ad.grad(f)
    for _ in range(3):
        assert g(torch.tensor([2.0]), 3).tolist() == [12]
    assert calls == [3]
    g(torch.tensor([2.0]), 2)
    g(torch.tensor([2.0, 1.0]), 2)
    g(torch.tensor([2.0], dtype=torch.float64), 2)
    g(np.array([5.0]), 2)
    assert len(calls) == 4  # the array has the signature of the tensor before it


def test_equal_values_of_other_kinds_are_other_signatures() -> None:
    g = ad.value_and_grad(lambda x, c: torch.sum(x) * c)
    x = torch.ones(2, dtype=torch.float32)
    assert g(x, 1)[0].dtype == torch.float32
    assert g(x, 1j)[0].dtype.is_complex
    assert g(x, True)[0].dtype == torch.float32
    assert g(x, 1.0)[0].dtype == torch.float32


def test_several_arguments_and_keywords() -> None:
    def f(a: torch.Tensor, b: torch.Tensor, *, c: torch.Tensor) -> torch.Tensor:
        return torch.sum(a * b) * c

    a, b, c = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]), torch.tensor(2.0)
    assert ad.grad(f, argnums=1)(a, b, c=c).tolist() == [2, 4]
    ga, gb = ad.grad(f, argnums=(0, -1))(a, b, c=c)
    assert ga.tolist() == [6, 8]
    assert gb.tolist() == [2, 4]


def test_auxiliary_results_come_along() -> None:
    def f(x: torch.Tensor) -> tuple[torch.Tensor, dict[str, Any]]:
        y = x * 3
        return torch.sum(y), {'y': y, 'note': 'as it is', 'n': [y[0], 7]}

    x = torch.tensor([1.0, 2.0])
    (value, rest), g = ad.value_and_grad(f, has_aux=True)(x)
    assert value == 9
    assert g.tolist() == [3, 3]
    assert rest['y'].tolist() == [3, 6]
    assert rest['note'] == 'as it is'
    assert rest['n'][0] == 3
    assert rest['n'][1] == 7
    assert ad.grad(f, has_aux=True)(x)[1]['y'].tolist() == [3, 6]


def test_derivatives_nest() -> None:
    third = ad.grad(ad.grad(ad.grad(lambda x: x**4)))
    assert third(torch.tensor(2.0, dtype=torch.float64)) == 48
    assert ad.grad(ad.grad(torch.sin))(0.5) == -torch.sin(torch.tensor(0.5))


@pytest.mark.parametrize(
    ('f', 'expected'),
    [
        (lambda x: x * ad.grad(lambda y: x + y)(torch.tensor(1.0)), 1.0),
        (lambda x: x * ad.grad(lambda y: x * y)(x), 6.0),
        (lambda x: ad.grad(lambda y: x * y)(x), 1.0),
        (lambda x: ad.grad(lambda y: x * y * y)(torch.tensor(2.0)), 4.0),
        (lambda x: ad.grad(lambda y: x * y * y)(x * 2), 24.0),
    ],
)
def test_inner_derivatives_are_not_confused_with_outer_ones(f: object, expected: float) -> None:
    assert ad.grad(f)(torch.tensor(3.0)) == expected


def test_a_call_with_nodes_extends_their_graph() -> None:
    x = ad.Variable('x')
    slope = ad.grad(torch.sin)(x)
    assert isinstance(slope, ad.Node)
    (got, second) = ad.Evaluator([slope, *ad.gradients(slope, [x])]).run({x: torch.tensor(0.0)})
    assert got == 1
    assert second == 0


def test_the_graph_of_a_derivative_can_be_held() -> None:
    graph = ad.grad(lambda x: torch.sin(x) * x).graph(torch.tensor(0.5))
    assert [str(v) for v in graph.variables] == ['x']
    (value,) = ad.Evaluator([graph.outputs]).run({graph.variables[0]: torch.tensor(0.0)})
    assert value == 0
    assert graph(torch.tensor(0.0)) == 0


def test_a_python_float_is_a_tensor_where_it_is_differentiated() -> None:
    assert ad.grad(lambda x: x * x)(3.0) == 6
    assert ad.grad(lambda p: p['a'] * p['b'])({'a': 2.0, 'b': torch.tensor(5.0)})['a'] == 5


def test_a_constant_function_has_zero_gradient() -> None:
    assert ad.grad(lambda x: 3.0)(torch.ones(2)).tolist() == [0, 0]


@pytest.mark.parametrize(
    ('action', 'kind', 'message'),
    [
        (lambda: ad.grad(lambda x: x * 2)(torch.ones(3)), ad.ShapeError, r'returned float32\[3\]: sum it'),
        (lambda: ad.grad(lambda x: (x, x))(torch.ones(())), ad.TensorTypeError, 'has_aux=True'),
        (lambda: ad.grad(lambda x: x)(2), ad.NonDifferentiableError, r'x is 2, an integer.*pass 2.0'),
        (
            lambda: ad.grad(lambda p: p['n'])({'n': torch.tensor(1)}),
            ad.NonDifferentiableError,
            r"p\['n'\] is int64\[\]",
        ),
        (lambda: ad.grad(lambda x: x)('a'), ad.TensorTypeError, "x is 'a' of type str"),
        (lambda: ad.grad(lambda x: x, 1)(torch.ones(())), ad.TensorTypeError, 'none at argnum 1'),
        (lambda: ad.grad(3), ad.TensorTypeError, r'gradients\(y, \[x\]\)'),
        (lambda: ad.grad(lambda x: x > 0)(torch.ones(())), ad.NonDifferentiableError, 'bool'),
        (lambda: ad.grad(lambda x: x if x > 0 else -x)(1.0), ad.TensorTypeError, 'where'),
        (lambda: ad.grad(lambda x: F.dropout(x).sum())(torch.ones(2)), ad.UnsupportedOpError, 'dropout'),
        (lambda: ad.grad(lambda x: x.geqrf())(torch.ones(2, 2)), ad.UnsupportedOpError, 'geqrf'),
        (lambda: ad.grad(lambda x, s: x)(1.0, {1, 2}), ad.TensorTypeError, 'nor hashable'),
    ],
)
def test_misuse_is_explained(action: object, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        action()


def test_threads_share_a_derivative() -> None:
    g = ad.grad(lambda x: torch.sum(torch.sin(x) ** 2))
    results: dict[int, torch.Tensor] = {}

    def work(n: int) -> None:
        results[n] = g(torch.full((n,), 0.5, dtype=torch.float64))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = torch.sin(torch.tensor(1.0, dtype=torch.float64))
    for n, g_n in results.items():
        assert g_n.shape == (n,)
        assert torch.allclose(g_n, expected, rtol=1e-14)


def test_the_cache_is_bounded() -> None:
    g = ad.grad(lambda x, n: torch.sum(x) * n)
    for n in range(200):
        g(torch.ones(1), n)
    assert len(g._programs._entries) == 128

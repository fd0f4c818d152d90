"""The teaching file is right: checked against `torch.autograd`, which it never asks itself."""

import ast
import importlib.util
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

FILE = Path(__file__).resolve().parents[1] / 'docs' / 'autodiff_from_nothing.py'
SOURCE = FILE.read_text(encoding='utf-8')


def _load() -> Any:
    """Import the file by its path, and register it, which its dataclasses need."""
    spec = importlib.util.spec_from_file_location('autodiff_from_nothing', FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


taught = _load()

# Each expression is written once, for their nodes and for tensors alike: `f` is the module that has
# the functions, the file or the namespace of torch below.
Expression = Callable[[Any, Any, Any], Any]


class Torch:
    """The names of the file, as torch has them."""

    sin, cos, tanh, exp, log, neg = (
        torch.sin,
        torch.cos,
        torch.tanh,
        torch.exp,
        torch.log,
        torch.neg,
    )
    total, transpose, matmul = torch.sum, torch.t, torch.matmul

    @staticmethod
    def expand_like(x: Tensor, like: Tensor) -> Tensor:
        return x.expand_as(like)

    @staticmethod
    def sum_to_like(x: Tensor, like: Tensor) -> Tensor:
        return x.sum_to_size(like.shape)


EXPRESSIONS: dict[str, tuple[Expression, tuple[int, ...], tuple[int, ...]]] = {
    'same shapes': (lambda f, a, b: f.sin(a) * b + a / b, (3, 4), (3, 4)),
    'row over rows': (lambda f, a, b: f.tanh(a + b) * b, (5, 3), (3,)),
    'column over columns': (lambda f, a, b: f.exp(a * b) - b, (2, 3), (2, 1)),
    'both stretched': (lambda f, a, b: a * b + f.cos(b - a), (4, 1), (1, 3)),
    'new leading axes': (lambda f, a, b: (a - b) / (2 + f.sin(b)), (2, 3, 4), (3, 1)),
    'number and matrix': (lambda f, a, b: 1 / (a * a + 1) + f.total(a) * b, (3, 3), ()),
    'powers': (lambda f, a, b: (a * a + 1) ** 1.5 + b**3 + a**0 + b**1, (3,), (2, 3)),
    'quotient': (lambda f, a, b: f.log(b * b + 2) / (3 - f.cos(a)), (4,), (2, 4)),
    'product of matrices': (lambda f, a, b: f.tanh(a @ b) @ f.transpose(b), (3, 4), (4, 2)),
    'layer': (lambda f, a, b: f.log(1 + f.exp(-f.tanh(a @ f.transpose(a) + b))), (3, 2), (3,)),
    'same operand twice': (lambda f, a, b: a * a + b / b - b, (3,), (3,)),
    'copy and sum': (lambda f, a, b: f.expand_like(f.sum_to_like(f.sin(a), b), a), (2, 3), (3,)),
    'one is not used': (lambda f, a, b: f.neg(a) * 3.0, (2, 2), (3,)),
}


@pytest.fixture(params=EXPRESSIONS, name='case')
def case_of(request: pytest.FixtureRequest) -> tuple[Expression, Tensor, Tensor]:
    """An expression, and values for its operands."""
    expression, shape_a, shape_b = EXPRESSIONS[request.param]
    a = torch.randn(shape_a, dtype=torch.float64)
    return expression, a, torch.randn(shape_b, dtype=torch.float64)


def _by_torch(y: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(y.sum(), inputs, create_graph=True, materialize_grads=True))


def test_value_and_gradient_agree_with_autograd(case: tuple[Expression, Tensor, Tensor]) -> None:
    expression, *values = case
    nodes = [taught.variable(name=name) for name in 'ab']
    y = expression(taught, *nodes)
    got = taught.Evaluator([y, *taught.gradients(y, nodes)]).run(dict(zip(nodes, values, strict=True)))
    leaves = [value.requires_grad_() for value in values]
    truth = expression(Torch, *leaves)
    expected = [truth, *_by_torch(truth, leaves)]
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    assert [g.shape for g in got[1:]] == [value.shape for value in values]


def test_second_order_agrees_with_autograd(case: tuple[Expression, Tensor, Tensor]) -> None:
    expression, *values = case
    nodes = [taught.variable(name=name) for name in 'ab']
    first = taught.gradients(expression(taught, *nodes), nodes)
    # Squared first, so that also a constant gradient has to be carried through.
    squares = taught.total(first[0] ** 2) + taught.total(first[1] ** 2)
    got = taught.Evaluator(taught.gradients(squares, nodes)).run(dict(zip(nodes, values, strict=True)))
    leaves = [value.requires_grad_() for value in values]
    first = _by_torch(expression(Torch, *leaves), leaves)
    expected = _by_torch(sum((g**2).sum() for g in first) + 0 * leaves[0].sum(), leaves)
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


def test_third_derivative_of_a_number() -> None:
    x = taught.variable(name='x')
    y = taught.sin(x) * x
    for _ in range(3):
        (y,) = taught.gradients(y, [x])
    (got,) = taught.Evaluator([y]).run({x: torch.tensor(2.0, dtype=torch.float64)})
    assert float(got) == pytest.approx(-3 * math.sin(2) - 2 * math.cos(2), rel=1e-13)


def test_gradient_has_the_dtype_of_its_input() -> None:
    x, w = taught.variable(name='x'), taught.variable(name='w')
    grads = taught.gradients(taught.tanh(x @ w) * 0.1, [x, w])
    got = taught.Evaluator(grads).run({x: torch.randn(5, 3), w: torch.randn(3, 2)})
    assert [g.dtype for g in got] == [torch.float32, torch.float32]
    # Also where a Python number, kept as a double, makes the value itself a double.
    s = taught.variable(name='s')
    (got,) = taught.Evaluator(taught.gradients(s * 0.1, [s])).run({s: torch.tensor(2.0)})
    assert got.dtype == torch.float32


@pytest.mark.parametrize(('exponent', 'slope'), [(0, 0.0), (1, 1.0), (2, 0.0)])
def test_small_powers_have_all_derivatives_at_zero(exponent: int, slope: float) -> None:
    x = taught.variable(name='x')
    (first,) = taught.gradients(x**exponent, [x])
    (second,) = taught.gradients(first, [x])
    (third,) = taught.gradients(second, [x])
    got = taught.Evaluator([first, second, third]).run({x: torch.tensor(0.0)})
    assert [float(g) for g in got] == [slope, 2.0 if exponent == 2 else 0.0, 0.0]


def test_chain_of_20000_ops_differentiates() -> None:
    x = taught.variable(name='x')
    y = x
    for _ in range(10_000):
        y = taught.sin(y) + 0.001
    (g,) = taught.gradients(y, [x])
    at = torch.tensor(0.5, dtype=torch.float64)
    value, slope = taught.Evaluator([y, g]).run({x: at})
    leaf = at.clone().requires_grad_()
    truth = leaf
    for _ in range(10_000):
        truth = torch.sin(truth) + 0.001
    expected = [truth, *_by_torch(truth, [leaf])]
    torch.testing.assert_close([value, slope], expected, rtol=1e-12, atol=0.0)


def test_ladder_of_60_diamonds_takes_linear_time() -> None:
    x = taught.variable(name='x')
    y = x
    for _ in range(60):
        y = y + y
    (g,) = taught.gradients(y, [x])
    assert len(taught.topological_sort([g])) < 60 * 10
    assert float(taught.Evaluator([g]).run({x: torch.tensor(1.0)})[0]) == 2.0**60


def test_order_puts_inputs_first() -> None:
    x = taught.variable(name='x')
    y = taught.sin(x) * x + x
    order = taught.topological_sort([y, x])
    assert len(order) == len(set(order)) == 4
    assert all(order.index(i) < order.index(n) for n in order for i in n.inputs)


def test_missing_input_is_named() -> None:
    x, y = taught.variable(name='x'), taught.variable(name='y')
    with pytest.raises(ValueError, match='no value is given for the variable y'):
        taught.Evaluator([x + y]).run({x: torch.tensor(1.0)})


def test_witnesses_notice_a_wrong_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    x = taught.variable(name='x')
    y = taught.tanh(x) * x
    at, t, w = (torch.randn(4, dtype=torch.float64) for _ in range(3))

    def numeric_error() -> float:
        (ours,) = taught.Evaluator(taught.gradients(y, [x])).run({x: at})
        theirs = taught.numeric_gradient(lambda v: taught.Evaluator([y]).run({x: v})[0], at)
        return float((ours - theirs).abs().max())

    assert numeric_error() < 1e-9
    assert taught.adjoint_gap(y, x, at, t, w) < 1e-8
    monkeypatch.setattr(taught.tanh, 'partial', lambda y, x: 1.00001 - y * y)
    assert numeric_error() > 1e-7
    assert taught.adjoint_gap(y, x, at, t, w) > 1e-7


def test_network_learns() -> None:
    history, accuracy = taught.train()
    assert history[0] > 0.6
    assert history[-1] < 0.04
    assert accuracy >= 0.99


def test_story_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    taught.main()
    out = capsys.readouterr().out
    order = re.findall(r'order \d: (\S+)  (\S+)', out)
    assert len(order) == 3
    assert all(ours == formula for ours, formula in order)
    assert all(float(e) < 1e-8 for e in re.findall(r'(?:differences|identity) +(\S+)', out))
    losses = [float(loss) for loss in re.findall(r'loss (\S+)', out)]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 4


def test_file_is_short() -> None:
    assert 200 <= len(SOURCE.splitlines()) <= 360


def test_file_stands_alone() -> None:
    imported = {
        name.split('.')[0]
        for node in ast.walk(ast.parse(SOURCE))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or '.']
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported == {'collections', 'dataclasses', 'math', 'torch', 'typing'}


def test_file_never_asks_torch_for_a_derivative() -> None:
    names = {
        part
        for node in ast.walk(ast.parse(SOURCE))
        for part in (
            [node.attr]
            if isinstance(node, ast.Attribute)
            else [node.id]
            if isinstance(node, ast.Name)
            else []
        )
    }
    assert names & {'autograd', 'backward', 'requires_grad', 'requires_grad_', 'grad', 'func'} == set()

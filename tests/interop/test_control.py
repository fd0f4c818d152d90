"""Control flow of torch in imported programs: value, first and second order, against the same without it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._higher_order_ops import associative_scan, scan, while_loop
from torch._higher_order_ops.map import map as map_
from torch._higher_order_ops.strict_mode import strict_mode

import adjoint as ad
from tests.interop.compare import close

W = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64)


def vector(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def same(program: Callable[..., Any], plain: Callable[..., Any], *inputs: torch.Tensor) -> ad.Graph:
    """Assert that an imported program has the value and derivatives of a plain one by torch.autograd."""
    own = [x.clone().requires_grad_() for x in inputs]
    value = plain(*own)
    grads = torch.autograd.grad(value, own, create_graph=True)
    scalar = torch.stack([g.sin().sum() for g in grads]).sum()
    second = torch.autograd.grad(scalar, own)

    graph = ad.from_torch(program, *inputs)
    ours = ad.gradients(graph.outputs, graph.variables)
    total = ad.sum(ad.sin(ours[0]))
    for g in ours[1:]:
        total = total + ad.sum(ad.sin(g))
    again = ad.gradients(total, graph.variables)
    found = ad.Evaluator([graph.outputs, *ours, *again]).run(graph.feed(*inputs))
    for got, wanted in zip(found, [value, *grads, *second], strict=True):
        close(got, wanted.detach())
    return graph


def ops(graph: ad.Graph) -> list[str]:
    return [node.op.name for node in ad.topological_sort(graph.outputs)]


@pytest.mark.parametrize('shift', [0.0, -10.0])
def test_cond(shift: float) -> None:
    def program(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        a, b = torch.cond(
            x.sum() + shift > 0,
            lambda x, y: (x.sin() * y, y.exp()),
            lambda x, y: ((x * W).cos() + y, (y * y).clone()),
            (x, y),
        )
        return (a * b).sum()

    def plain(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        taken = bool(x.sum() + shift > 0)
        return (x.sin() * y * y.exp()).sum() if taken else (((x * W).cos() + y) * y * y).sum()

    graph = same(program, plain, vector(0.5, 1.0, 2.0), vector(0.1, 0.2, 0.3))
    assert ops(graph).count('cond') == 1


@pytest.mark.parametrize('sign', [1.0, -1.0])
def test_cond_has_the_gradient_of_torch(sign: float) -> None:
    def program(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda x: x.sin(), lambda x: (x * W).cos(), (x,)).sum()

    x = vector(0.5, 1.0, 2.0) * sign
    own = x.clone().requires_grad_()
    value = program(own)
    graph = ad.from_torch(program, x)
    found = ad.Evaluator([graph.outputs, *ad.gradients(graph.outputs, graph.variables)]).run(graph.feed(x))
    for got, wanted in zip(found, [value, *torch.autograd.grad(value, [own])], strict=True):
        close(got, wanted.detach())


def test_only_the_branch_that_is_taken_is_run() -> None:
    def program(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x > 0, lambda x: x.sqrt(), lambda x: x * 0, (x,))

    graph = ad.from_torch(program, torch.tensor(1.0))
    (g,) = ad.gradients(graph.outputs, graph.variables)
    assert ad.Evaluator([g]).run(graph.feed(torch.tensor(0.0))) == [torch.tensor(0.0)]


def test_conds_nest_and_close_over_parameters() -> None:
    class Gate(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(W.clone())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            def inner(x: torch.Tensor) -> torch.Tensor:
                return torch.cond(x[0] > 1, lambda x: x * self.weight, lambda x: x - self.weight, (x,))

            y = torch.cond(x.sum() > 0, inner, lambda x: x.clone(), (x,))
            y += 1
            return (y * y).sum()

    module = Gate()
    graph = ad.from_torch(module, vector(1.0, 2.0, 3.0))
    grads = ad.gradients(graph.outputs, [*graph.variables, graph.parameters['weight']])
    for x in (vector(2.0, 2.0, 3.0), vector(0.5, 2.0, 3.0), vector(-9.0, 2.0, 3.0)):
        given = x.clone().requires_grad_()
        y = (given * module.weight if x[0] > 1 else given - module.weight) if x.sum() > 0 else given
        wanted = torch.autograd.grad(
            ((y + 1) ** 2).sum(), [given, module.weight], allow_unused=True, materialize_grads=True
        )
        for got, want in zip(ad.Evaluator(grads).run(graph.feed(x)), wanted, strict=True):
            close(got, want)


def test_while_loop() -> None:
    def program(x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        _, y = while_loop(
            lambda i, y: (i < 3) & (y.sum() < 100),
            lambda i, y: (i + 1, y.sin() * a + W),
            (torch.tensor(0), x),
        )
        return (y * y).sum()

    def plain(x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            x = x.sin() * a + W
        return (x * x).sum()

    graph = same(program, plain, vector(0.5, 1.0, 2.0), vector(0.9, 1.2, 0.3))
    assert ops(graph).count('while_loop') == 1


@pytest.mark.parametrize('reverse', [False, True])
@pytest.mark.parametrize('dim', [0, 1])
def test_scan(dim: int, reverse: bool) -> None:
    def step(h: dict[str, torch.Tensor], x: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        h = {'a': (h['a'] * W + x).tanh(), 'b': h['b'] + x}
        return h, h['a'] * h['b']

    def program(h: torch.Tensor, xs: torch.Tensor) -> torch.Tensor:
        carry, ys = scan(step, {'a': h, 'b': h.exp()}, xs, dim=dim, reverse=reverse)
        return (carry['a'] * ys.select(dim, 0)).sum() + (ys * ys).sum() + ys.select(dim, 1).sum()

    def plain(h: torch.Tensor, xs: torch.Tensor) -> torch.Tensor:
        carry, ys = {'a': h, 'b': h.exp()}, []
        slices = list(xs.unbind(dim))
        for x in reversed(slices) if reverse else slices:
            carry, y = step(carry, x)
            ys.append(y)
        whole = torch.stack(ys[::-1] if reverse else ys, dim)
        return (carry['a'] * whole.select(dim, 0)).sum() + (whole * whole).sum() + whole.select(dim, 1).sum()

    xs = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3)
    graph = same(program, plain, vector(0.1, 0.2, 0.3), xs if dim == 0 else xs.T.contiguous())
    assert ops(graph).count('scan') == 1


def test_map() -> None:
    def program(xs: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return (map_(lambda x, a: (x * a).sin(), xs, a) ** 2).sum()

    xs = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3)
    same(program, lambda xs, a: ((xs * a).sin() ** 2).sum(), xs, vector(0.9, 1.2, 0.3))


def test_any_number_of_slices() -> None:
    def program(xs: torch.Tensor) -> torch.Tensor:
        return scan(lambda c, x: (c * x, c + x), torch.ones(2), xs)[1]

    graph = ad.from_torch(program, torch.ones(5, 2), dynamic_shapes=({0: 'n'},))
    xs = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert torch.equal(graph(xs), torch.tensor([[2.0, 3.0], [4.0, 6.0], [8.0, 14.0]]))


def test_no_grad_inside_and_outside() -> None:
    def program(x: torch.Tensor) -> torch.Tensor:
        def step(c: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            with torch.no_grad():
                scale = x * x
            return c * scale + x, c

        a, _ = scan(step, torch.ones((), dtype=x.dtype), x)
        with torch.no_grad():
            b, _ = scan(step, torch.ones((), dtype=x.dtype), x)
        return a * b

    def plain(x: torch.Tensor) -> torch.Tensor:
        c = torch.ones((), dtype=x.dtype)
        for y in x:
            c = c * (y * y).detach() + y
        return c * c.detach()

    x = vector(0.5, 1.5, -0.3)
    graph = ad.from_torch(program, x)
    own = x.clone().requires_grad_()
    (g,) = ad.gradients(graph.outputs, graph.variables)
    close(ad.Evaluator([g]).run(graph.feed(x))[0], torch.autograd.grad(plain(own), [own])[0])


def _changes_a_buffer(x: torch.Tensor) -> torch.Tensor:
    seen = torch.zeros(3)

    def branch(x: torch.Tensor) -> torch.Tensor:
        seen.add_(1)
        return x.sin()

    return torch.cond(x.sum() > 0, branch, lambda x: x.cos(), (x,))


def _hands_out(x: torch.Tensor) -> torch.Tensor:
    found: list[torch.Tensor] = []

    def branch(x: torch.Tensor) -> torch.Tensor:
        found.append(x.sin())
        return x.cos()

    return torch.cond(x.sum() > 0, branch, lambda x: x.clone(), (x,)) + found[0]


def _differentiates(x: torch.Tensor) -> torch.Tensor:
    own = x.detach().requires_grad_()
    y = torch.cond(own.sum() > 0, lambda x: x.sin(), lambda x: x.cos(), (own,))
    return torch.autograd.grad(y.sum(), own)[0]


@pytest.mark.parametrize(
    ('program', 'said'),
    [
        (lambda x: strict_mode(lambda x: x.sin(), (x,)), r'higher_order\.strict_mode'),
        (
            lambda x: associative_scan(lambda a, b: a * b, x, dim=0, combine_mode='generic'),
            'a transform of torch.func',
        ),
        (_changes_a_buffer, 'torch.cond writes in place to a tensor from outside'),
        (_hands_out, 'used outside it'),
        (_differentiates, 'torch.autograd.grad after control flow'),
        (
            lambda x: torch.cond(x.sum() > 0, lambda x: x, lambda x: x.sum(), (x,)),
            r'torch.cond with float32\[\] and float32\[3\]',
        ),
        (
            lambda x: torch.cond(x.sum() > 0, lambda x: x.sin(), lambda x: (x, x), (x,)),
            'different structures',
        ),
        (
            lambda x: while_loop(lambda x: x.sum() < 3, lambda x: x.double(), (x,)),
            r'torch.while_loop with float32\[3\] and float64\[3\] before and after a step',
        ),
        (lambda x: while_loop(lambda i: i < 3, lambda i: (i + 1,), (0,)), 'of 0, which is no tensor'),
    ],
)
def test_refusals(program: Callable[..., Any], said: str) -> None:
    with pytest.raises(ad.UnsupportedOpError, match=said) as caught:
        ad.from_torch(program, torch.ones(3))
    assert 'test_control.py' in str(caught.value)


def test_torch_is_left_as_it_was() -> None:
    x = torch.ones(3)
    program = lambda x: torch.cond(x.sum() > 0, lambda x: x.sin(), lambda x: x.cos(), (x,))  # noqa: E731
    ad.from_torch(program, x)
    assert torch.equal(program(x), x.sin())


def test_a_function_may_use_a_size_by_name_that_none_of_its_operands_has() -> None:
    def program(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        def branch(y: torch.Tensor) -> torch.Tensor:
            return scan(lambda c, s: (c * s + x.shape[0], c.clone()), y[0] * 1, y)[0]

        return x.sum() * torch.cond(y.sum() > 0, branch, lambda y: y[0] * 2, (y,))

    graph = ad.from_torch(program, torch.ones(5), torch.ones(2), dynamic_shapes=({0: 'n'}, None))
    for n in (7, 3):
        x, y = torch.ones(n), torch.tensor([2.0, 3.0])
        assert torch.equal(graph(x, y), torch.tensor(n * ((2.0 * 2 + n) * 3 + n)))

"""Loops that go on while a condition holds, and loops over a range: against Python's own."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.verify.check import check_op
from tests.flow import loops
from tests.flow.noted import Noted
from tests.ops.case import spread

F64 = torch.float64


def growing(flow: Any, x: Any, w: Any) -> Any:
    """Some steps, by the value."""
    return flow.while_loop(lambda c: (c * c).sum() < 40, lambda c: 2 * c + w * torch.sin(c), x)


def structured(flow: Any, x: Any, w: Any) -> Any:
    def body(carry: Any) -> Any:
        i, (c, total) = carry
        return i + 1, (torch.cos(c) * w, total + c * i)

    i, (c, total) = flow.while_loop(lambda carry: carry[0] < 5, body, (torch.tensor(1), (x, x * 2)))
    return c * total + i


def not_at_all(flow: Any, x: Any, w: Any) -> Any:
    return flow.while_loop(lambda c: c.sum() > 1e9, lambda c: torch.exp(c) * w, x) * w


def chosen_within(flow: Any, x: Any, w: Any) -> Any:
    """A choice in a loop, and a loop in a loop."""

    def body(carry: Any) -> Any:
        i, c = carry
        c = flow.cond(c.sum() > 1, lambda c: c * w, lambda c: torch.exp(c) + w * w, c)
        return i + 1, flow.while_loop(lambda d: d.abs().max() > 2, lambda d: d * 0.75, c)

    return flow.while_loop(lambda carry: carry[0] < 3, body, (torch.tensor(0), x))[1]


def counted(flow: Any, x: Any, w: Any) -> Any:
    return flow.fori_loop(2, 6, lambda i, c: torch.sin(c * w) + i * c, x)


def counted_by_a_value(flow: Any, x: Any, w: Any) -> Any:
    zero = x.sum() * 0
    end = (ad.cast(zero, torch.int64) if flow is ad else zero.long()) + 4
    return flow.fori_loop(1, end, lambda i, c: torch.sin(c * w) + i * c, x)


def empty_range(flow: Any, x: Any, w: Any) -> Any:
    return flow.fori_loop(3, 1, lambda i, c: torch.exp(c * w), x) * w


CASES: dict[str, Callable[..., Any]] = {
    'growing': growing, 'structured': structured, 'no step': not_at_all,
    'cond and while in while': chosen_within, 'fori': counted, 'fori by a value': counted_by_a_value,
    'empty range': empty_range,
}  # fmt: skip


@pytest.mark.parametrize('name', CASES)
def test_every_claim_holds(name: str):
    function = CASES[name]
    report = check_op(
        lambda *given: function(ad, *given),
        (spread(3, seed=1), spread(3, seed=2)),
        reference=lambda *given: function(loops, *given),
    )
    report.raise_if_failed()


@pytest.mark.parametrize('checkpoint', [True, False, 1, 2, 7])
def test_gradient_does_not_depend_on_how_many_carries_are_kept(checkpoint: Any):
    def f(x: Any, w: Any) -> Any:
        step = lambda c: c * w + torch.sin(c) + 1.5  # noqa: E731
        return ad.while_loop(lambda c: c < 100, step, x, checkpoint=checkpoint)

    x, w = torch.tensor(0.5, dtype=F64), torch.tensor(1.125, dtype=F64)
    leaves = [v.clone().requires_grad_() for v in (x, w)]
    y = loops.while_loop(lambda c: c < 100, lambda c: c * leaves[1] + torch.sin(c) + 1.5, leaves[0])
    wanted = torch.autograd.grad(y, leaves)
    got = ad.grad(f, argnums=(0, 1))(x, w)
    torch.testing.assert_close(got, wanted, rtol=1e-13, atol=0)


def test_only_what_is_used_is_carried():
    seen: list[str] = []
    step = lambda c: (c[0] + 1, Noted('a', seen)(c[1]), Noted('b', seen)(c[2]) * c[1])  # noqa: E731
    x = ad.Variable('x', (), F64)
    found = ad.while_loop(lambda c: c[0] < 2, step, (torch.tensor(0), x, x))
    value = {x: torch.tensor(2.0, dtype=F64)}
    ad.Evaluator([found[1]]).run(value)
    assert seen == ['a', 'a']
    seen.clear()
    ad.Evaluator([found[2]]).run(value)
    assert sorted(seen) == ['a', 'a', 'b', 'b']


def test_newton_of_a_root_has_the_derivative_of_the_root():
    def root(x: Any) -> Any:
        return ad.while_loop(lambda y: torch.abs(y * y - x) > 1e-13, lambda y: (y + x / y) / 2, x)

    x = torch.tensor(2.0, dtype=F64)
    torch.testing.assert_close(ad.grad(root)(x), 0.5 * x**-0.5, rtol=1e-12, atol=0)
    torch.testing.assert_close(ad.grad(ad.grad(root))(x), -0.25 * x**-1.5, rtol=1e-10, atol=0)


def test_graph_with_a_loop_is_copied_and_pickled():
    x, w = ad.Variable('x', (3,), F64), ad.Variable('w', (3,), F64)
    (g,) = ad.gradients(growing(ad, x, w), [w])
    values = {'x': spread(3, seed=1), 'w': spread(3, seed=2)}
    wanted = ad.Evaluator([g]).run({x: values['x'], w: values['w']})
    for again in (copy.deepcopy(g), pickle.loads(pickle.dumps(g))):
        own = {n: values[n.name] for n in ad.topological_sort(again) if n.op is ad.placeholder}
        torch.testing.assert_close(ad.Evaluator([again]).run(own), wanted, rtol=0, atol=0)


@pytest.mark.parametrize(
    ('call', 'error', 'message'),
    [
        (lambda: ad.while_loop(lambda c: c > 0, lambda c: c, torch.ones(2)), ad.ShapeError,
         r'while_loop goes by one truth value, and got bool\[2\]: reduce .* with any\(\)'),
        (lambda: ad.while_loop(lambda c: c > 0, lambda c: (c, c), torch.ones(())), ad.TensorTypeError,
         r'(?s)different structures.*test_while_loop'),
        (lambda: ad.while_loop(lambda c: c > 0, lambda c: c.double(), torch.ones(())), ad.TensorTypeError,
         r'carry is float32\[\] in the carry before a step and float64\[\]'),
        (lambda: ad.fori_loop(0.5, 2, lambda i, c: c, 1.0), ad.ShapeError, 'bounds are integers'),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(call: Any, error: Any, message: str):
    with pytest.raises(error, match=message):
        call()


def test_condition_of_several_entries_is_refused_in_the_run():
    x = ad.Variable('x')
    y = ad.while_loop(lambda c: c < 3, lambda c: c * 2, x)
    with pytest.raises(ad.ShapeError, match=r'was bool\[2\]: reduce it'):
        ad.Evaluator([y]).run({x: torch.ones(2)})

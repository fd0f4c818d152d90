"""Choices: all claims of the battery, for each branch, against Python's own."""

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


def different(flow: Any, p: Any, a: Any, b: Any) -> Any:
    return flow.cond(p.sum() > 0, lambda a, b: torch.sin(a) * b, lambda a, b: a - b * b, a, b)


def one_operand_each(flow: Any, p: Any, a: Any, b: Any) -> Any:
    return flow.cond(p.sum() > 0, lambda a, b: torch.sin(a), lambda a, b: b * b, a, b)


def constant_branch(flow: Any, p: Any, a: Any, b: Any) -> Any:
    return flow.cond(p.sum() > 0, lambda a: torch.zeros(3, dtype=F64), torch.exp, a) * b


def identical(flow: Any, p: Any, a: Any, b: Any) -> Any:
    return flow.cond(p.sum() > 0, lambda a: a * b, lambda a: a * b, a)


def closures(flow: Any, p: Any, a: Any, b: Any) -> Any:
    s = torch.exp(a)
    return flow.cond(p.sum() > 0, lambda: s * b + s, lambda: torch.sin(b) * s)


def several(flow: Any, p: Any, a: Any, b: Any) -> Any:
    found = flow.cond(
        p.sum() > 0,
        lambda v: {'s': v['a'] * v['b'], 't': (v['a'], v['b'])},
        lambda v: {'s': v['b'], 't': (torch.sin(v['a']), v['a'])},
        {'a': a, 'b': b},
    )
    return found['s'] * found['t'][0] + found['t'][1]


def within(flow: Any, p: Any, a: Any, b: Any) -> Any:
    """A choice in a choice, in a loop, by the carry."""

    def step(c: Any, x: Any) -> Any:
        deep = lambda c: flow.cond(x > 0, torch.sin, lambda c: c * b, c)  # noqa: E731
        return flow.cond(c.sum() > 0, deep, lambda c: c * c - x, c), c.sum()

    carry, ys = flow.scan(step, a, p)
    return carry * ys.sum()


def looping(flow: Any, p: Any, a: Any, b: Any) -> Any:
    """A loop in a choice."""
    return flow.cond(
        p.sum() > 0,
        lambda a: flow.scan(lambda c, x: (torch.sin(c) * b + x, None), a, p)[0],
        lambda a: a * b,
        a,
    )


CASES: dict[str, Callable[..., Any]] = {
    'different': different, 'one operand each': one_operand_each, 'constant branch': constant_branch,
    'identical': identical, 'closures': closures, 'several outputs': several, 'cond in cond in scan': within,
    'scan in cond': looping,
}  # fmt: skip


@pytest.mark.parametrize('sign', [1, -1])
@pytest.mark.parametrize('name', CASES)
def test_every_claim_holds(name: str, sign: int):
    function = CASES[name]
    p = torch.tensor([1.5, -0.25], dtype=F64) * sign
    report = check_op(
        lambda *given: function(ad, *given),
        (p, spread(3, seed=1), spread(3, seed=2)),
        reference=lambda *given: function(loops, *given),
    )
    report.raise_if_failed()
    assert report.of('unreliable') == [], str(report)


def test_branch_that_is_not_taken_is_not_run():
    seen: list[str] = []
    f = lambda x, w: ad.cond(x > 0, lambda x: Noted('a', seen)(x), lambda x: Noted('b', seen)(w), x)  # noqa: E731
    ad.value_and_grad(f, argnums=(0, 1))(torch.tensor(2.0), torch.tensor(3.0))
    assert set(seen) == {'a', "a'"}


@pytest.mark.parametrize('order', [1, 2])
def test_nan_of_the_branch_that_is_not_taken_does_not_leak(order: int):
    f = lambda x: ad.cond(x > 0, lambda x: torch.log(x) * torch.sqrt(x), lambda x: x * x * 3, x)  # noqa: E731
    for _ in range(order):
        f = ad.grad(f)
    at = torch.tensor(0.0, dtype=F64)
    assert f(at).item() == {1: 0.0, 2: 6.0}[order]


def test_what_a_branch_closes_over_belongs_to_it():
    """A closure that is built in the branch alone is run there alone; what exists before is an operand."""
    x = ad.Variable('x', (), F64)
    before = torch.exp(x)
    y = ad.cond(x > 0, lambda: torch.log(x) + before, lambda: before)
    assert [n.op.name for n in ad.topological_sort(y)] == ['placeholder', 'gt', 'exp', 'cond']
    (g,) = ad.gradients(y, [x])
    assert ad.Evaluator([g]).run({x: torch.tensor(0.0, dtype=F64)})[0] == 1.0


def test_switch_takes_the_branch_at_the_position_held_to_those_there_are():
    branches = [torch.sin, torch.cos, torch.exp]
    x = torch.tensor(0.5, dtype=F64)
    for k, wanted in ((-3, torch.sin), (0, torch.sin), (1, torch.cos), (2, torch.exp), (9, torch.exp)):
        assert torch.equal(ad.switch(k, branches, x), wanted(x))
        assert torch.equal(ad.switch(torch.tensor(k), branches, x), wanted(x))
    grads = [ad.grad(lambda x, k=k: ad.switch(k, branches, x))(x) for k in range(3)]
    torch.testing.assert_close(grads, [torch.cos(x), -torch.sin(x), torch.exp(x)], rtol=1e-14, atol=0)


def test_types_are_what_holds_for_all_branches():
    x = ad.Variable('x', ('n', 3), F64)
    p = ad.Variable('p', (), torch.bool)
    assert str(ad.cond(p, lambda x: x * 2, torch.sin, x).type) == 'float64[n, 3]'


@pytest.mark.parametrize(
    ('call', 'error', 'message'),
    [
        (lambda: ad.cond(torch.ones(2) > 0, torch.sin, torch.cos, torch.ones(2)), ad.ShapeError,
         r'one truth value, and got bool\[2\].*where'),
        (lambda: ad.cond(True, lambda x: x[:1], lambda x: x, torch.ones(2)), ad.ShapeError,
         r'(?s)float32\[2\] in the result of on_false and float32\[1\] in the result of on_true.*test_cond'),
        (lambda: ad.cond(True, lambda x: (x, x), lambda x: x, torch.ones(2)), ad.TensorTypeError,
         r'(?s)different structures.*the result of on_true: \(float32\[2\], float32\[2\]\)'),
        (lambda: ad.cond(True, lambda x: x.double(), lambda x: x, torch.ones(2)), ad.TensorTypeError,
         'same types'),
        (lambda: ad.cond(True, 3, lambda x: x, torch.ones(2)), ad.TensorTypeError,
         'takes functions, and got 3'),
        (lambda: ad.switch(1.5, [torch.sin], torch.ones(2)), ad.ShapeError, 'one integer, and got float32'),
        (lambda: ad.switch(0, []), ad.TensorTypeError, 'at least one'),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(call: Any, error: Any, message: str):
    with pytest.raises(error, match=message):
        call()


def test_condition_of_several_entries_is_refused_in_the_run():
    p, x = ad.Variable('p'), ad.Variable('x')
    y = ad.cond(p, torch.sin, torch.cos, x)
    with pytest.raises(ad.ShapeError, match=r'one truth value or position, and got bool\[2\]'):
        ad.Evaluator([y]).run({p: torch.ones(2, dtype=torch.bool), x: torch.ones(2)})

"""Steps cost little more than their kernels, and are right however the values are laid out."""

from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.execute import programs
from tests.flow import loops
from tests.ops.case import spread

F64 = torch.float64


@pytest.mark.parametrize('name', ['scan', 'scan backwards', 'few carries', 'while', 'map'])
def test_program_is_looked_up_a_few_times_however_many_steps_there_are(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    x = torch.tensor(0.5, dtype=F64)

    class Odd(ad.Op):
        """An op that torch has no batch of."""

        vectorises = False

        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return input_values[0] ** 3

    step = lambda c, _: (c + 0.01 * torch.sin(c), c * 2)  # noqa: E731
    run = {
        'scan': lambda n: ad.scan(step, x, length=n),
        'scan backwards': lambda n: ad.grad(lambda x: ad.scan(step, x, length=n)[1].sum())(x),
        'few carries': lambda n: ad.grad(lambda x: ad.scan(step, x, length=n, checkpoint=3)[0])(x),
        'while': lambda n: ad.while_loop(
            lambda c: c[0] < n, lambda c: (c[0] + 1, step(c[1], 0)[0]), (torch.tensor(0), x)
        ),
        'map': lambda n: ad.vmap(Odd())(spread(n)),
    }[name]
    looked, original = [], programs.signature_of

    def counted(values: Any) -> Any:
        looked.append(values)
        return original(values)

    monkeypatch.setattr(programs, 'signature_of', counted)
    counts = []
    for steps in (60, 180):
        looked.clear()
        run(steps)
        counts.append(len(looked))
    assert counts[0] == counts[1] < 20


def turning(flow: Any, x: Any, checkpoint: Any = None) -> Any:
    """The strides change with every step."""
    options = {'checkpoint': checkpoint} if flow is ad else {}
    c, ys = flow.scan(lambda c, _: (c.T * 1.01 + torch.sin(c).T, c.T), x, length=9, **options)
    return c, ys


@pytest.mark.parametrize('checkpoint', [False, True, 2])
def test_carries_may_change_their_strides(checkpoint: Any):
    x = spread(3, 3)
    for start in (x, x.T, x[0].expand(3, 3)):
        for got, wanted in zip(turning(ad, start, checkpoint), turning(loops, start), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-14, atol=0)
        leaf = start.clone().requires_grad_()
        (slope,) = torch.autograd.grad(sum(y.sin().sum() for y in turning(loops, leaf)), leaf)
        got = ad.grad(lambda x: sum(torch.sin(y).sum() for y in turning(ad, x, checkpoint)))(start)
        torch.testing.assert_close(got, slope, rtol=1e-13, atol=1e-13)


class AsItComes(ad.Op):
    """A matrix, transposed in memory or not by its value."""

    def infer(self, node: ad.Node, input_types: Any) -> Any:
        return input_types[0]

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        x = x + 1
        return x.T.contiguous().T if int(x[0, 0]) % 3 == 0 else x

    def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
        return [output_grad]


def test_strides_may_follow_from_values():
    op, x = AsItComes(), torch.arange(6.0, dtype=F64).reshape(2, 3)
    flat = lambda c: torch.cumsum(c.flatten(), 0).reshape(2, 3) / 10  # noqa: E731
    wanted = x
    for _ in range(20):
        wanted = flat(wanted + 1).round()
    got, _ = ad.scan(lambda c, _: (torch.round(flat(op(c))), None), x, length=20)
    assert torch.equal(got, wanted)
    got = ad.scan(lambda c, _: (op(c), None), x, length=20)[0]
    assert torch.equal(got, x + 20)
    assert torch.equal(
        ad.grad(lambda x: ad.scan(lambda c, _: (op(c), c), x, length=5)[1].sum())(x), x * 0 + 5
    )


@pytest.mark.parametrize('steps', [1, 2, 31, 32, 33, 64, 65, 100])
@pytest.mark.parametrize('reverse', [False, True])
def test_slices_and_results_are_in_their_places(steps: int, reverse: bool):
    xs, x = spread(steps, 2), spread(2, seed=1)

    def f(flow: Any, x: Any, xs: Any, **options: Any) -> Any:
        c, ys = flow.scan(
            lambda c, s: (c * 0.9 + torch.sin(s), (c * s, s)), x, xs, reverse=reverse, **options
        )
        return c, *ys

    leaves = [v.clone().requires_grad_() for v in (x, xs)]
    wanted = f(loops, *leaves)
    slopes = torch.autograd.grad(sum(torch.cos(y).sum() for y in wanted), leaves)
    for checkpoint in (False, 3):
        got = f(ad, x, xs, checkpoint=checkpoint)
        torch.testing.assert_close(got, wanted, rtol=1e-13, atol=1e-15)
        g = lambda *given: sum(torch.cos(y).sum() for y in f(ad, *given, checkpoint=checkpoint))  # noqa: B023, E731
        torch.testing.assert_close(ad.grad(g, argnums=(0, 1))(x, xs), slopes, rtol=1e-12, atol=1e-14)


class Growing(ad.Op):
    """Of a size, or of a dtype, that follows from the value."""

    def infer(self, node: ad.Node, input_types: Any) -> None:
        return None

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (c,) = input_values
        if int(c) < node.attrs['until']:
            return c
        return c.float() if node.attrs['kind'] == 'dtype' else c.reshape(1)


def grown(kind: str, until: int) -> Any:
    op = Growing()
    return lambda c: ad.Node([c], op, {'kind': kind, 'until': until})


@pytest.mark.parametrize('until', [1, 40])
@pytest.mark.parametrize(('kind', 'types'), [
    ('dtype', r'float64\[\] in one step and float32\[\]'),
    ('shape', r'float64\[\] in one step and float64\[1\]'),
])  # fmt: skip
def test_result_that_changes_its_type_is_refused(kind: str, types: str, until: int):
    x, change = ad.Variable('x'), grown(kind, until)
    _, ys = ad.scan(lambda c, _: (c + 1, change(c)), x, length=70)
    with pytest.raises(ad.ShapeError, match=rf'(?s)result 0 of a loop is {types} in another.*test_stepping'):
        ad.Evaluator([ys]).run({x: torch.tensor(0.0, dtype=F64)})


@pytest.mark.parametrize('kind', ['dtype', 'shape'])
def test_carry_that_changes_its_type_is_refused(kind: str):
    x, change = ad.Variable('x'), grown(kind, 40)
    step = lambda c: change(c) + 1  # noqa: E731
    for y in (
        ad.scan(lambda c, _: (step(c), None), x, length=70)[0],
        ad.while_loop(lambda c: c.sum() < 60, step, x),
    ):
        with pytest.raises(
            ad.ShapeError, match=r'(?s)carry 0 of a loop is float64\[\] before.*test_stepping'
        ):
            ad.Evaluator([y]).run({x: torch.tensor(0.0, dtype=F64)})

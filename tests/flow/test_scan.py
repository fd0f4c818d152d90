"""Loops over slices: all claims of the battery against Python's own loop."""

import copy
import functools
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


def rnn(flow: Any, h: Any, xs: Any, w: Any, u: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = torch.tanh(h @ w + x @ u)
        return h, h.sum()

    last, sums = flow.scan(step, h, xs)
    return last.sum() * 2 + (sums * sums).sum()


def nested_structure(flow: Any, a: Any, b: Any, xs: Any) -> Any:
    def step(carry: Any, x: Any) -> Any:
        s, (p, q) = carry['s'], carry['pq']
        return {'s': s * x['k'] + p, 'pq': (torch.sin(q), p * s)}, [s, {'y': q * x['k']}]

    carry, ys = flow.scan(step, {'s': a, 'pq': (b, a)}, {'k': xs})
    return (carry['s'] + carry['pq'][1]).sum() + (ys[0] * ys[1]['y']).sum()


def without_sequences(flow: Any, x: Any) -> Any:
    return flow.scan(lambda c, _: (torch.sin(c) * c, None), x, length=4)[0].sum()


def without_carry(flow: Any, xs: Any, w: Any) -> Any:
    return flow.scan(lambda _, x: (None, torch.exp(x * w)), None, xs)[1].sum()


def backwards(flow: Any, x: Any, xs: Any) -> Any:
    carry, ys = flow.scan(lambda c, x: (c * x + 1, c / x), x, xs, reverse=True)
    return (carry * carry).sum() + (ys**2 * torch.tensor([1.0, 2.0, 3.0], dtype=F64)[:, None]).sum()


def integer_carry(flow: Any, x: Any, xs: Any) -> Any:
    def step(carry: Any, x: Any) -> Any:
        i, c = carry
        return (i + 1, c * x + i * c), i * x

    (i, c), ys = flow.scan(step, (torch.tensor(0), x), xs)
    return (c * i).sum() + (ys * ys).sum()


def captured_often(flow: Any, x: Any, xs: Any, w: Any) -> Any:
    scaled = torch.exp(w)

    def step(c: Any, x: Any) -> Any:
        return torch.sin(c * w + scaled) * scaled, x * w * scaled

    carry, ys = flow.scan(step, x, xs)
    return (carry * w).sum() + (ys * ys * scaled).sum()


def unused_outputs(flow: Any, x: Any, xs: Any) -> Any:
    def step(carry: Any, x: Any) -> Any:
        a, b = carry
        return (a * x, torch.exp(b) + a), (a, b)

    return flow.scan(step, (x, x), xs)[0][0].sum()


def overwritten(flow: Any, x: Any, xs: Any) -> Any:
    """The carry of a step is nothing but its slice."""
    carry, ys = flow.scan(lambda c, x: (x * 2, c * x), x, xs)
    return (carry * carry).sum() + ys.sum()


def swapped(flow: Any, x: Any, y: Any) -> Any:
    """A cotangent reaches the second carry in every other step."""
    (a, _), ys = flow.scan(lambda c, _: ((c[1], c[0] * c[0]), c[0]), (x, y), length=3)
    return a.sum() + (ys * 3).sum()


def inside(flow: Any, x: Any, xs: Any, w: Any) -> Any:
    def outer(c: Any, x: Any) -> Any:
        def inner(d: Any, _: Any) -> Any:
            return torch.sin(d) * w + x, d * c

        d, ys = flow.scan(inner, c, length=2)
        return d + c, ys.sum()

    carry, ys = flow.scan(outer, x, xs)
    return (carry * carry).sum() + (ys * ys).sum()


def broadcasting(flow: Any, xs: Any, w: Any) -> Any:
    """The slices are 0-d; a constant has another shape than what it meets."""
    carry, ys = flow.scan(lambda c, x: (c * torch.cos(x) + w[0], (c * w).sum() * x), xs[0] * w, xs)
    return (carry**2).sum() + (ys**2).sum()


CASES: dict[str, tuple[Callable[..., Any], tuple[torch.Tensor, ...]]] = {
    'rnn': (rnn, (spread(2, 3), spread(4, 2, 5, seed=1), spread(3, 3, seed=2), spread(5, 3, seed=3))),
    'nested structure': (nested_structure, (spread(3), spread(3, seed=1), spread(4, 3, seed=2))),
    'no sequences': (without_sequences, (spread(2, 3),)),
    'no carry': (without_carry, (spread(3, 2), spread(2, seed=1))),
    'in reverse': (backwards, (spread(2), spread(3, 2, seed=1))),
    'integer carry': (integer_carry, (spread(2), spread(3, 2, seed=1))),
    'captured often': (captured_often, (spread(2), spread(3, 2, seed=1), spread(2, seed=2))),
    'unused outputs': (unused_outputs, (spread(2), spread(3, 2, seed=1))),
    'overwritten': (overwritten, (spread(2), spread(3, 2, seed=1))),
    'swapped': (swapped, (spread(2), spread(2, seed=1))),
    'scan in scan': (inside, (spread(2), spread(3, 2, seed=1), spread(2, seed=2))),
    'broadcasting': (broadcasting, (spread(3), spread(2, seed=1))),
    'one step': (overwritten, (spread(2), spread(1, 2, seed=1))),
    'no step': (integer_carry, (spread(2), torch.ones(0, 2, dtype=F64))),
    'no step of an rnn': (rnn, (spread(2, 3), torch.ones(0, 2, 5, dtype=F64), spread(3, 3), spread(5, 3))),
}


@pytest.mark.parametrize('name', CASES)
def test_every_claim_holds(name: str):
    function, arguments = CASES[name]
    report = check_op(
        lambda *given: function(ad, *given), arguments, reference=lambda *given: function(loops, *given)
    )
    report.raise_if_failed()
    assert report.of('unreliable') == [], str(report)


class Checkpointed:
    """The functions of adjoint, with few carries kept."""

    def __init__(self, checkpoint: Any) -> None:
        self.scan = functools.partial(ad.scan, checkpoint=checkpoint)


@pytest.mark.parametrize('checkpoint', [1, 2, True], ids=['one kept', 'two kept', 'logarithmic'])
@pytest.mark.parametrize('name', ['nested structure', 'in reverse', 'integer carry', 'swapped', 'no step'])
def test_every_claim_holds_with_few_carries_kept(name: str, checkpoint: Any):
    function, arguments = CASES[name]
    report = check_op(
        lambda *given: function(Checkpointed(checkpoint), *given),
        arguments,
        reference=lambda *given: function(loops, *given),
    )
    report.raise_if_failed()


@pytest.mark.parametrize('name', CASES)
def test_derivatives_do_not_depend_on_how_many_carries_are_kept(name: str):
    function, arguments = CASES[name]
    found = []
    for checkpoint in (False, 1, 3):
        xs = [ad.Variable(f'x{i}', v.shape, v.dtype) for i, v in enumerate(arguments)]
        ts = [ad.Variable(f't{i}', v.shape, v.dtype) for i, v in enumerate(arguments)]
        y = function(Checkpointed(checkpoint), *xs)
        grads = ad.gradients(y, xs)
        of_grads = ad.pushforward(grads, dict(zip(xs, ts, strict=True)))
        again = ad.gradients(sum((g * t).sum() for g, t in zip(grads, ts, strict=True)), xs)
        wanted = [*grads, *(t for t in of_grads if t is not None), *again]
        values = {
            **dict(zip(xs, arguments, strict=True)),
            **dict(zip(ts, map(torch.cos, arguments), strict=True)),
        }
        found.append(ad.Evaluator(wanted).run(values))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-13, atol=1e-13)


def test_checkpoint_is_a_number_of_carries():
    with pytest.raises(ad.TensorTypeError, match=r'checkpoint of scan is True, False, .* at least 1; got 0'):
        ad.scan(lambda c, x: (c, x), 0.0, torch.ones(2), checkpoint=0)


def test_long_rnn_is_the_unrolled_one():
    torch.manual_seed(1)
    h, xs = torch.zeros(4, 8, dtype=F64), torch.randn(200, 4, 3, dtype=F64)
    w, u = torch.randn(8, 8, dtype=F64) / 4, torch.randn(3, 8, dtype=F64)
    value, grads = ad.value_and_grad(lambda *given: rnn(ad, *given), argnums=(0, 1, 2, 3))(h, xs, w, u)
    leaves = [v.clone().requires_grad_() for v in (h, xs, w, u)]
    wanted = rnn(loops, *leaves)
    torch.testing.assert_close(value, wanted.detach(), rtol=1e-13, atol=0)
    for got, want in zip(grads, torch.autograd.grad(wanted, leaves), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_loop_and_its_derivative_are_as_small_as_one_step():
    nodes = [ad.Variable(n, s, F64) for n, s in (('h', (2, 3)), ('w', (3, 3)), ('u', (5, 3)))]
    sizes = []
    for steps in (10, 1000):
        h, w, u = nodes
        xs = ad.Variable('xs', (steps, 2, 5), F64)
        y = rnn(ad, h, xs, w, u)
        sizes.append(len(ad.topological_sort(ad.gradients(y, [h, xs, w, u]))))
    assert sizes[0] == sizes[1] < 60


def test_only_what_is_used_is_computed():
    """A value keeps nothing; a gradient computes no cotangent that nobody asked for."""
    seen: list[str] = []

    def f(x: Any, xs: Any) -> Any:
        return ad.scan(lambda c, x: (Noted('c', seen)(c) * Noted('x', seen)(x), Noted('y', seen)(c)), x, xs)[
            0
        ]

    x, xs = ad.Variable('x', (), F64), ad.Variable('xs', (2,), F64)
    values = {x: torch.tensor(2.0, dtype=F64), xs: torch.ones(2, dtype=F64)}
    y = f(x, xs)
    ad.Evaluator([y]).run(values)
    assert seen == ['c', 'x', 'c', 'x']
    seen.clear()
    ad.Evaluator(ad.gradients(y, [x])).run(values)
    assert sorted(set(seen)) == ['c', "c'", 'x']


def test_graph_with_a_loop_is_copied_and_pickled():
    x, xs = ad.Variable('x', (2,), F64), ad.Variable('xs', (3, 2), F64)
    y = inside(ad, x, xs, ad.Variable('w', (2,), F64))
    (g,) = ad.gradients(y, [x])
    values = [spread(2), spread(3, 2, seed=1), spread(2, seed=2)]
    names = ['x', 'xs', 'w']
    wanted = ad.Evaluator([g]).run(_by_name([g], names, values))
    for again in (copy.deepcopy(g), pickle.loads(pickle.dumps(g))):
        got = ad.Evaluator([again]).run(_by_name([again], names, values))
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def _by_name(nodes: Any, names: Any, values: Any) -> Any:
    variables = {n.name: n for n in ad.topological_sort(nodes) if n.op is ad.placeholder}
    return {variables[name]: value for name, value in zip(names, values, strict=True)}


def test_tensors_give_tensors_and_nodes_give_nodes():
    step = lambda c, x: (c + x, None)  # noqa: E731
    carry, ys = ad.scan(step, 0, torch.tensor([1, 2, 3]))
    assert ys is None
    assert torch.equal(carry, torch.tensor(6))
    carry, _ = ad.scan(step, 0.0, torch.ones(3, dtype=F64))
    assert carry.dtype == F64
    w = ad.Variable('w', (), F64)
    assert isinstance(ad.scan(lambda c, x: (c * w, None), 1.0, torch.ones(3, dtype=F64))[0], ad.Node)
    assert ad.scan(step, ad.Variable('c', ('n',), F64), ad.Variable('xs', ('m', 'n'), F64))[0].type.shape == (
        'n',
    )


def test_named_sizes_go_through():
    c, xs = ad.Variable('c', ('n',), F64), ad.Variable('xs', ('m', 'n'), F64)
    carry, ys = ad.scan(lambda c, x: (c * x, (c, c.sum())), c, xs)
    assert [str(v.type) for v in (carry, *ys)] == ['float64[n]', 'float64[m, n]', 'float64[m]']
    (g,) = ad.gradients(carry, [xs])
    assert str(g.type) == 'float64[m, n]'


@pytest.mark.parametrize(
    ('call', 'error', 'message'),
    [
        (lambda: ad.scan(lambda c, x: (c[:1], x), torch.ones(2), torch.ones(3)), ad.ShapeError,
         r'carry is float32\[2\] in the carry before a step and float32\[1\] in the carry after it'),
        (lambda: ad.scan(lambda c, x: (c.double(), x), torch.ones(2), torch.ones(3)), ad.TensorTypeError,
         r'(?s)carry is float32\[2\] .* float64\[2\] .*cast in the step.*test_scan.py'),
        (lambda: ad.scan(lambda c, x: ({'a': c}, x), (torch.ones(2), 1.0), torch.ones(3)), ad.TensorTypeError,
         r"(?s)different structures.*\(float32\[2\], float32\[\]\).*\{'a': \(float32"),
        (lambda: ad.scan(lambda c, x: c, torch.ones(2), torch.ones(3)), ad.TensorTypeError,
         r'pair \(carry, result\)'),
        (lambda: ad.scan(lambda c, x: (c, x), torch.ones(2)), ad.ShapeError, 'give it a length'),
        (lambda: ad.scan(lambda c, x: (c, x), torch.ones(2), torch.ones(())), ad.ShapeError, 'no first axis'),
        (lambda: ad.scan(lambda c, x: (c, x), 0.0, (torch.ones(2), torch.ones(3))), ad.ShapeError,
         'equally long'),
        (lambda: ad.scan(lambda c, x: (c, x), 0.0, torch.ones(2), 3), ad.ShapeError, 'its length is 3'),
        (lambda: ad.scan(lambda c, x: (c, x), 'a', torch.ones(2)), ad.TensorTypeError, "carry, in .* is 'a'"),
        (lambda: ad.scan(3, 0.0, torch.ones(2)), ad.TensorTypeError, 'takes functions, and got 3'),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(call: Any, error: Any, message: str):
    with pytest.raises(error, match=message):
        call()


def test_carry_of_unknown_type_is_checked_in_the_run():
    c, x = ad.Variable('c'), ad.Variable('x')
    carry, ys = ad.scan(lambda c, x: (c * x, x), c, x)
    run = ad.Evaluator([carry, ys]).run
    with pytest.raises(
        ad.ShapeError, match=r'carry 0 of a loop is float32\[\] before a step and float64\[\]'
    ):
        run({c: torch.ones(()), x: torch.ones(2, dtype=F64)})
    with pytest.raises(ad.ShapeError, match=r'float64\[1\] before a step and float64\[3\]'):
        run({c: torch.ones(1, dtype=F64), x: torch.ones(2, 3, dtype=F64)})

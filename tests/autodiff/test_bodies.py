"""Bodies, and their derivatives as bodies."""

import copy
import pickle

import pytest
import torch

import adjoint as ad
from adjoint.autodiff.bodies import pulled_back, pushed_forward
from adjoint.ops.body import Body


def body():
    x, w = (ad.Variable(name, (3,), torch.float64) for name in 'xw')
    return Body([x, w], [ad.sin(x) * w, x, ad.ones_like(x)])


def values(*seeds: int):
    return [torch.randn(3, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in seeds]


def test_pullback_of_a_body_is_that_of_torch():
    x, w, ct0, ct1 = values(0, 1, 2, 3)
    pulled, reached = pulled_back(body(), (0, 1), (0, 1))
    assert reached == (0, 1)
    wanted = torch.func.vjp(lambda x, w: (torch.sin(x) * w, x), x, w)[1]((ct0, ct1))
    torch.testing.assert_close(pulled.run([x, w, ct0, ct1]), list(wanted))


def test_nothing_flows_where_nothing_is_connected():
    pulled, reached = pulled_back(body(), (0, 1), (1,))
    assert (reached, len(pulled.outputs)) == ((0,), 1)
    _, reached = pushed_forward(body(), (1,))
    assert reached == (0,)


def test_pushforward_of_a_body_is_that_of_torch():
    x, w, t = values(0, 1, 2)
    pushed, reached = pushed_forward(body(), (0,))
    assert reached == (0, 1)
    wanted = [torch.cos(x) * t * w, t]
    torch.testing.assert_close(pushed.run([x, w, t]), wanted)


def test_closing_computes_outside_what_does_not_depend_on_the_inputs():
    x, w = ad.Variable('x', (3,)), ad.Variable('w', (3,))
    outside = ad.sin(w)
    closed, captured = Body.closed([x], [x * outside + 1, outside, w])
    assert captured == [outside, w]
    assert closed.inputs[0] is x
    assert not {outside, w} & set(ad.topological_sort(closed.outputs))
    (a, b) = values(0, 1)
    torch.testing.assert_close(closed.run([a.float(), b.float(), a.float()])[1], b.float())


def test_a_body_is_written_out_among_other_nodes():
    z = ad.Variable('z', (3,), torch.float64)
    inlined = body().inline([ad.exp(z), z])
    (value,) = values(0)
    torch.testing.assert_close(
        ad.Evaluator(inlined[:1]).run({z: value})[0], torch.sin(torch.exp(value)) * value
    )
    with pytest.raises(ad.TensorTypeError, match='2 inputs was given 1 operands'):
        body().inline([z])


def test_a_body_is_copied_and_pickled_and_never_changes():
    own = body()
    x, w = values(0, 1)
    again = pickle.loads(pickle.dumps(own))
    torch.testing.assert_close(again.run([x, w]), own.run([x, w]), rtol=0, atol=0)
    assert copy.deepcopy(own) is own
    with pytest.raises(AttributeError, match='never changes'):
        own.inputs = ()

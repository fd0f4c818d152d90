"""checkpoint: the same values and derivatives, with less kept between forward and backward."""

import copy
import weakref
from typing import Any

import pytest
import torch

import adjoint as ad
from tests.torch_func import hessian, jvp

X = torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64)
W = torch.tensor([0.5, -0.25, 1.5], dtype=torch.float64)


def layers(x: Any, p: Any) -> Any:
    h = torch.sin(x * p['w']) + torch.exp(x)
    return {'h': h * p['b'], 'sum': (h.sum(),)}


P = {'w': W, 'b': torch.tensor(2.0, dtype=torch.float64)}


def loss(block: Any) -> Any:
    def scalar(x: Any, p: Any) -> Any:
        out = block(block(x, p)['h'], p)
        return (out['h'] ** 2).sum() + out['sum'][0]

    return scalar


def test_values_and_derivatives_are_those_without():
    f, g = loss(ad.checkpoint(layers)), loss(layers)
    close = torch.testing.assert_close
    close(f(X, P), g(X, P), rtol=0, atol=0)
    ours, theirs = ad.grad(f, (0, 1))(X, P), torch.func.grad(g, (0, 1))(X, P)
    close(ours, theirs, rtol=1e-12, atol=1e-12)
    close(ad.jvp(f, (X, P), (W, P)), jvp(g, (X, P), (W, P)), rtol=1e-12, atol=1e-12)
    close(ad.hessian(f)(X, P), hessian(g)(X, P), rtol=1e-11, atol=1e-11)
    close(ad.grad(lambda x: ad.grad(f)(x, P).sum())(X), hessian(g)(X, P).sum(0), rtol=1e-11, atol=1e-11)


def test_it_closes_over_nodes_and_computes_them_inside():
    w = ad.Variable('w', (3,), torch.float64)
    block = ad.checkpoint(lambda x: x * torch.exp(torch.sin(w)))
    y = ad.sum(block(ad.constant(X)))
    assert [n.op.name for n in ad.topological_sort(y)].count('exp') == 0
    found = ad.Evaluator(ad.gradients(y, [w])).run({w: W})[0]
    torch.testing.assert_close(found, X * torch.exp(torch.sin(W)) * torch.cos(W), rtol=1e-14, atol=0)


class Watched(ad.Unary):
    """``x + 1``, counting how many of its values are alive at once."""

    def __init__(self) -> None:
        self.alive = self.peak = 0

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        value = input_values[0] + 1
        if value.device.type != 'meta':
            self.alive += 1
            self.peak = max(self.peak, self.alive)
            weakref.finalize(value, self._died)
        return value

    def _died(self) -> None:
        self.alive -= 1

    def partial(self, y: ad.Node, x: ad.Node) -> ad.Node:
        return ad.ones_like(x)

    def __deepcopy__(self, memo: Any) -> 'Watched':
        return self


@pytest.mark.parametrize(('length', 'segment'), [(64, 8), (256, 16)])
def test_peak_of_live_tensors_is_that_of_the_root_of_the_length(length: int, segment: int):
    peaks: list[int] = []
    for checkpointed in (False, True):
        op = Watched()

        def run(x: Any, op: Watched = op) -> Any:
            for _ in range(segment):
                x = torch.sin(op(x))
            return x

        block = ad.checkpoint(run) if checkpointed else run

        def chain(x: Any, block: Any = block) -> Any:
            for _ in range(length // segment):
                x = block(x)
            return x.sum()

        ad.grad(chain)(X)
        peaks.append(op.peak)
        assert op.alive == 0
    assert peaks[0] >= length
    # Of what op computes, only that within one segment is alive at a time.
    assert peaks[1] <= segment + 1


def test_a_call_is_one_node_that_is_copied():
    x = ad.Variable('x', (3,), torch.float64)
    y = ad.checkpoint(lambda x: {'y': torch.sin(x) * 2})(x)['y']
    assert (y.op.name, y.type, len(ad.topological_sort(y))) == ('call', x.type, 2)
    again = copy.deepcopy(y)
    (variable,) = [n for n in ad.topological_sort(again) if not n.inputs]
    assert torch.equal(ad.Evaluator([again]).run({variable: X})[0], torch.sin(X) * 2)


def test_given_tensors_it_is_run():
    assert torch.equal(ad.checkpoint(torch.sin)(X), torch.sin(X))
    with pytest.raises(ad.TensorTypeError, match=r'argument.*of type str'):
        ad.checkpoint(torch.sin)('a')

"""One step as one program."""

from typing import Any

import pytest
import torch
from torch import Tensor

import adjoint as ad
from adjoint.train import rules
from adjoint.train.clip import clip_by_norm
from adjoint.train.step import TrainStep, train_step


def line() -> tuple[dict[str, ad.Node], ad.Node, ad.Node]:
    nodes = {'w': ad.Variable('w', shape=(3,), dtype=torch.float64), 'b': ad.Variable('b')}
    x = ad.Variable('x')
    return nodes, x, ad.mean(ad.square(x @ nodes['w'] + nodes['b'] - 1))


VALUES = {'w': torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), 'b': torch.tensor(0.25).double()}
INPUTS = torch.arange(12.0, dtype=torch.float64).reshape(4, 3)


def run(step: TrainStep, x: ad.Node, steps: int = 1, rate: float = 0.01) -> Any:
    parameters: Any = VALUES
    state = step.init(VALUES)
    result = None
    for _ in range(steps):
        result = step.run({x: INPUTS}, parameters, state, rate)
        parameters, state = result.parameters, result.state
    return result


def test_it_gives_the_loss_before_the_update_and_the_parameters_after() -> None:
    nodes, x, loss = line()
    result = run(train_step(loss, nodes, rules.SGD()), x)
    feed = {x: INPUTS, nodes['w']: VALUES['w'], nodes['b']: VALUES['b']}
    value, *found = ad.Evaluator([loss, *ad.gradients(loss, list(nodes.values()))]).run(feed)
    assert torch.equal(result.loss, value)
    for name, gradient in zip(nodes, found, strict=True):
        assert torch.equal(result.parameters[name], VALUES[name] - 0.01 * gradient)


def test_other_outputs_come_in_their_order() -> None:
    nodes, x, loss = line()
    prediction = x @ nodes['w'] + nodes['b']
    step = train_step(loss, nodes, rules.SGD(), [prediction, ad.sum(prediction)])
    result = run(step, x)
    expected = INPUTS @ VALUES['w'] + VALUES['b']
    assert torch.equal(result.outputs[0], expected)
    assert torch.equal(result.outputs[1], expected.sum())


def test_given_values_stay_as_they_are() -> None:
    before = {name: value.clone() for name, value in VALUES.items()}
    nodes, x, loss = line()
    run(train_step(loss, nodes, rules.Adam()), x, steps=3)
    assert all(torch.equal(before[name], value) for name, value in VALUES.items())


def test_clip_sees_the_gradients_before_the_rule_does() -> None:
    nodes, x, loss = line()
    step = train_step(loss, nodes, rules.SGD(), clip=lambda g: clip_by_norm(g, 0.5))
    result = run(step, x, rate=1.0)
    moved = sum(float(((result.parameters[k] - VALUES[k]) ** 2).sum()) for k in VALUES) ** 0.5
    assert moved == pytest.approx(0.5, rel=1e-5)


def test_the_number_of_the_step_is_counted() -> None:
    nodes, x, loss = line()
    step = train_step(loss, nodes, rules.Adam())
    assert step.init(VALUES).step == 0
    assert run(step, x, steps=5).state.step == 5


def test_new_values_are_contiguous() -> None:
    w, x = ad.Variable('w'), ad.Variable('x')
    step = train_step(ad.mean(ad.square(x @ ad.transpose(w, 0, 1))), {'w': w}, rules.Momentum())
    value = torch.arange(6.0).reshape(3, 2).mT
    result = step.run({x: torch.ones(4, 3)}, {'w': value}, step.init({'w': value}), 0.1)
    kept: list[Tensor] = [result.parameters['w'], result.state.slots['w']['velocity']]
    assert not value.is_contiguous()
    assert all(tensor.is_contiguous() for tensor in kept)


def test_parameter_that_the_loss_does_not_know_stays() -> None:
    nodes, x, loss = line()
    nodes['idle'] = ad.Variable('idle', shape=(2,), dtype=torch.float64)
    values = {**VALUES, 'idle': torch.ones(2, dtype=torch.float64)}
    step = train_step(loss, nodes, rules.Adam())
    result = step.run({x: INPUTS}, values, step.init(values), 0.1)
    assert torch.equal(result.parameters['idle'], values['idle'])


def test_descent_reaches_the_minimum() -> None:
    nodes, x, loss = line()
    assert float(run(train_step(loss, nodes, rules.SGD()), x, 500, 0.005).loss) < 1e-3

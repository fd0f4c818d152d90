"""One step as one program."""

from typing import Any

import pytest
import torch
from torch import Tensor

import adjoint as ad
from adjoint.train import rules
from adjoint.train.clip import clip_by_norm
from adjoint.transform.train_step import TrainStep, train_step


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


def separate(rule: Any, steps: int) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Losses and last parameters, with loss, gradients and each update as graphs of their own."""
    nodes, x, loss = line()
    gradients = ad.Evaluator([loss, *ad.gradients(loss, list(nodes.values()))], executor='reference')
    parameters = {name: value.clone() for name, value in VALUES.items()}
    slots = {name: rule.init(value) for name, value in parameters.items()}
    losses: list[Tensor] = []
    for k in range(steps):
        value, *found = gradients.run({x: INPUTS, **{node: parameters[name] for name, node in nodes.items()}})
        losses.append(value)
        for name, g in zip(nodes, found, strict=True):
            p, gradient, rate, step = (ad.Variable(v) for v in ('p', 'g', 'rate', 'step'))
            own = {slot: ad.Variable(slot) for slot in slots[name]}
            new, state = rule.update(p, gradient, own, rate, step)
            feed = {
                p: parameters[name], gradient: g, rate: torch.tensor(0.01, dtype=torch.float64),
                step: torch.tensor(k + 1.0).double(), **{own[s]: slots[name][s] for s in own},
            }  # fmt: skip
            parameters[name], *kept = ad.Evaluator([new, *(state[s] for s in own)], executor='reference').run(
                feed
            )
            slots[name] = dict(zip(own, kept, strict=True))
    return losses, parameters


@pytest.mark.parametrize('executor', ['reference', 'plan'])
@pytest.mark.parametrize('rule', [rules.SGD(), rules.Adam(amsgrad=True), rules.Nesterov()])
def test_in_place_it_is_the_separate_steps_bit_by_bit(rule: Any, executor: str) -> None:
    losses, wanted = separate(rule, 5)
    nodes, x, loss = line()
    parameters = {name: value.clone() for name, value in VALUES.items()}
    views = {name: value.view(-1) for name, value in parameters.items()}
    descent = ad.train_step(loss, nodes, rule, executor=executor).start(parameters)
    for value in losses:
        assert torch.equal(descent.descend({x: INPUTS}, 0.01)[0], value)
    assert descent.state.step == 5
    for name, value in wanted.items():
        assert torch.equal(views[name], value.view(-1))


def test_parameters_of_a_module_learn_and_nothing_is_recorded() -> None:
    module = torch.nn.Linear(3, 1)
    w, b, x = ad.Variable('w'), ad.Variable('b'), ad.Variable('x')
    loss = ad.mean(ad.square(x @ ad.transpose(w, 0, 1) + b - 1))
    descent = ad.train_step(loss, {'weight': w, 'bias': b}, rules.Adam()).start(
        dict(module.named_parameters())
    )
    before = float(descent.descend({x: INPUTS.float()}, 0.05)[0])
    for _ in range(100):
        descent.descend({x: INPUTS.float()}, 0.05)
    after, _ = descent.descend({x: INPUTS.float()}, 0.05)
    assert float(after) < before / 10
    assert not after.requires_grad
    assert module.weight.requires_grad
    assert float((module(INPUTS.float()) - 1).square().mean().detach()) == pytest.approx(
        float(after), abs=0.1
    )


class Lagging(rules.Rule):
    """A rule that remembers the parameter itself, and moves from where it was a step before."""

    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        return {'last': torch.zeros_like(parameter)}

    def update(self, parameter: Any, gradient: Any, state: Any, rate: Any, step: Any) -> Any:
        return state['last'], {'last': parameter}


@pytest.mark.parametrize('executor', ['reference', 'plan'])
def test_what_is_written_over_is_read_before(executor: str) -> None:
    w, x = ad.Variable('w', (2,), torch.float64), ad.Variable('x')
    step = ad.train_step(ad.sum(w * x), {'w': w}, Lagging(), [w], executor=executor)
    own = torch.tensor([1.0, 2.0]).double()
    descent = step.start({'w': own})
    seen: list[list[float]] = []
    for _ in range(4):
        _, (before,) = descent.descend({x: torch.ones(2).double()}, 0.1)
        seen.append([*before.tolist(), *own.tolist(), *descent.state.slots['w']['last'].tolist()])
    assert seen == [[1, 2, 0, 0, 1, 2], [0, 0, 1, 2, 0, 0], [1, 2, 0, 0, 1, 2], [0, 0, 1, 2, 0, 0]]

"""Each update rule against its counterpart in torch.optim, over 100 steps."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

import adjoint as ad
from adjoint.train import rules
from adjoint.train.errors import SettingError
from adjoint.transform.train_step import train_step

STEPS = 100

# Both do the same arithmetic, a few operations in another order. Parameters are below 4, where one
# rounding is 2**-52; the loss is convex, so that roundings do not grow from step to step. The
# largest error seen is 2 * 2**-52.
TOLERANCE = {torch.float64: 4 * 2.0**-52, torch.float32: 32 * 2.0**-23}
# Once the gradients settle, the centered variance is the difference of nearly equal numbers, and
# its root magnifies their rounding. Seen: 1.9e-12.
CENTERED = {torch.float64: 1e-11, torch.float32: 1e-3}

Optimizer = Callable[[Iterable[Tensor], float], torch.optim.Optimizer]

PAIRS: dict[str, tuple[rules.Rule, Optimizer]] = {
    'sgd': (rules.SGD(), torch.optim.SGD),
    'sgd decay': (
        rules.SGD(weight_decay=0.1),
        lambda p, r: torch.optim.SGD(p, r, weight_decay=0.1),
    ),
    'momentum': (rules.Momentum(), lambda p, r: torch.optim.SGD(p, r, momentum=0.9)),
    'momentum decay dampening': (
        rules.SGD(momentum=0.8, dampening=0.3, weight_decay=0.1),
        lambda p, r: torch.optim.SGD(p, r, momentum=0.8, dampening=0.3, weight_decay=0.1),
    ),
    'nesterov': (
        rules.Nesterov(0.8, weight_decay=0.1),
        lambda p, r: torch.optim.SGD(p, r, momentum=0.8, nesterov=True, weight_decay=0.1),
    ),
    'adagrad': (rules.AdaGrad(), torch.optim.Adagrad),
    'adagrad all': (
        rules.AdaGrad(rate_decay=0.05, weight_decay=0.1, initial=0.3, eps=1e-3),
        lambda p, r: torch.optim.Adagrad(
            p, r, lr_decay=0.05, weight_decay=0.1, initial_accumulator_value=0.3, eps=1e-3
        ),
    ),
    'rmsprop': (rules.RMSProp(), torch.optim.RMSprop),
    'rmsprop all': (
        rules.RMSProp(smoothing=0.9, eps=1e-3, weight_decay=0.1, momentum=0.5, centered=True),
        lambda p, r: torch.optim.RMSprop(
            p, r, alpha=0.9, eps=1e-3, weight_decay=0.1, momentum=0.5, centered=True
        ),
    ),
    'adam': (rules.Adam(), torch.optim.Adam),
    'adam all': (
        rules.Adam(beta1=0.8, beta2=0.95, eps=1e-3, weight_decay=0.1, amsgrad=True),
        lambda p, r: torch.optim.Adam(p, r, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1, amsgrad=True),
    ),
    'adamw': (rules.AdamW(), torch.optim.AdamW),
    'adamw all': (
        rules.AdamW(beta1=0.8, beta2=0.95, eps=1e-3, weight_decay=0.2, amsgrad=True),
        lambda p, r: torch.optim.AdamW(p, r, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2, amsgrad=True),
    ),
}


def problem(dtype: torch.dtype) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """A small least-squares problem with a matrix, a vector and a parameter without axes."""
    generator = torch.Generator().manual_seed(7)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)

    return {'w': draw(4, 3), 'b': draw(3), 's': draw() + 1}, draw(16, 4), draw(16, 3)


def rate_at(step: int) -> float:
    return 0.02 * (1 + 0.5 * (-1) ** step) / (1 + 0.01 * step)


def train_ours(rule: rules.Rule, dtype: torch.dtype, *, typed: bool = True) -> list[dict[str, Tensor]]:
    values, inputs, targets = problem(dtype)
    nodes = {
        name: ad.Variable(name, shape=tuple(value.shape) if typed else None, dtype=dtype if typed else None)
        for name, value in values.items()
    }
    x, t = ad.Variable('x'), ad.Variable('t')
    residual = (x @ nodes['w'] + nodes['b']) * nodes['s'] - t
    step = train_step(ad.mean(residual * residual), nodes, rule)
    state = step.init(values)
    seen: list[dict[str, Tensor]] = []
    parameters: Any = values
    for k in range(STEPS):
        result = step.run({x: inputs, t: targets}, parameters, state, rate_at(k))
        parameters, state = result.parameters, result.state
        seen.append(dict(parameters))
    assert state.step == STEPS
    return seen


def train_theirs(make: Optimizer, dtype: torch.dtype) -> list[dict[str, Tensor]]:
    values, inputs, targets = problem(dtype)
    leaves = {name: value.clone().requires_grad_() for name, value in values.items()}
    optimizer = make(leaves.values(), rate_at(0))
    seen: list[dict[str, Tensor]] = []
    for k in range(STEPS):
        optimizer.param_groups[0]['lr'] = rate_at(k)
        optimizer.zero_grad()
        residual = (inputs @ leaves['w'] + leaves['b']) * leaves['s'] - targets
        (residual * residual).mean().backward()
        optimizer.step()
        seen.append({name: leaf.detach().clone() for name, leaf in leaves.items()})
    return seen


def tolerance(rule: rules.Rule, dtype: torch.dtype) -> float:
    centered = isinstance(rule, rules.RMSProp) and rule.centered
    return (CENTERED if centered else TOLERANCE)[dtype]


def error(ours: list[dict[str, Tensor]], theirs: list[dict[str, Tensor]]) -> float:
    return max(
        float((mine[name] - other[name]).abs().max())
        for mine, other in zip(ours, theirs, strict=True)
        for name in mine
    )


@pytest.mark.parametrize('name', PAIRS)
def test_parameters_are_those_of_torch_after_every_step(name: str) -> None:
    rule, make = PAIRS[name]
    ours, theirs = train_ours(rule, torch.float64), train_theirs(make, torch.float64)
    assert error(ours, theirs) < tolerance(rule, torch.float64)
    moved = max(float((ours[-1][k] - ours[0][k]).abs().max()) for k in ours[0])
    assert moved > 0.05


@pytest.mark.parametrize('name', PAIRS)
def test_float32_parameters_stay_float32(name: str) -> None:
    rule, make = PAIRS[name]
    ours, theirs = train_ours(rule, torch.float32), train_theirs(make, torch.float32)
    assert {value.dtype for value in ours[-1].values()} == {torch.float32}
    assert error(ours, theirs) < tolerance(rule, torch.float32)


def test_parameters_without_a_type_train_alike() -> None:
    rule = rules.SGD(momentum=0.9, dampening=0.1)
    typed = train_ours(rule, torch.float32)
    untyped = train_ours(rule, torch.float32, typed=False)
    assert error(typed, untyped) == 0
    assert {value.dtype for value in untyped[-1].values()} == {torch.float32}


def test_state_has_shape_and_dtype_of_its_parameter() -> None:
    parameter = torch.zeros(2, 3, dtype=torch.bfloat16)
    rule = rules.RMSProp(momentum=0.5, centered=True)
    state = rule.init(parameter)
    assert state.keys() == {'squares', 'mean', 'velocity'}
    assert {(tuple(value.shape), value.dtype) for value in state.values()} == {((2, 3), torch.bfloat16)}


@pytest.mark.parametrize('wrong', [{'momentum': 0.0}, {'momentum': 0.9, 'dampening': 0.1}])
def test_nesterov_needs_momentum_without_dampening(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingError, match='nesterov: needs a positive momentum and no dampening'):
        rules.SGD(nesterov=True, **wrong)

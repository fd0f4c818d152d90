"""Each schedule against its counterpart in torch, at every step."""

import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from adjoint.train import schedules
from adjoint.train.errors import SettingError

# torch multiplies up from step to step where we use the closed form: one rounding a step, over 100.
TOLERANCE = 100 * 2.0**-53
STEPS = 100

FIXED: dict[str, tuple[schedules.Schedule, Callable[[Any], lr_scheduler.LRScheduler]]] = {
    'constant': (schedules.Constant(0.3), lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
    'step': (
        schedules.StepDecay(0.3, every=7, factor=0.6),
        lambda o: lr_scheduler.StepLR(o, step_size=7, gamma=0.6),
    ),
    'exponential': (
        schedules.Exponential(0.3, factor=0.97),
        lambda o: lr_scheduler.ExponentialLR(o, gamma=0.97),
    ),
    'cosine': (
        schedules.Cosine(0.3, total=STEPS, floor=0.01),
        lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=STEPS, eta_min=0.01),
    ),
    'one-cycle': (
        schedules.OneCycle(0.3, total=STEPS, rise=0.25, start=20, end=1e3),
        lambda o: lr_scheduler.OneCycleLR(o, 0.3, STEPS, pct_start=0.25, div_factor=20, final_div_factor=1e3),
    ),
    'one-cycle linear': (
        schedules.OneCycle(0.3, total=STEPS, shape='linear'),
        lambda o: lr_scheduler.OneCycleLR(o, 0.3, STEPS, anneal_strategy='linear'),
    ),
    'warm-up': (
        schedules.WarmUp(schedules.Exponential(0.3, 0.97), steps=10, start=0.1),
        lambda o: lr_scheduler.SequentialLR(
            o,
            [
                lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=10),
                lr_scheduler.ExponentialLR(o, gamma=0.97),
            ],
            milestones=[10],
        ),
    ),
}


def optimizer(rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate, momentum=0.9)


@pytest.mark.parametrize('name', FIXED)
def test_rate_is_that_of_torch_at_every_step(name: str) -> None:
    ours, make = FIXED[name]
    reference = optimizer(0.3)
    theirs = make(reference)
    for step in range(STEPS):
        expected = reference.param_groups[0]['lr']
        assert ours.rate(step) == pytest.approx(expected, rel=TOLERANCE, abs=0), step
        reference.step()
        if step < STEPS - 1:
            with warnings.catch_warnings():
                # SequentialLR passes an epoch to the schedulers within, which they deprecate.
                warnings.simplefilter('ignore', UserWarning)
                theirs.step()


@pytest.mark.parametrize('relative', [True, False])
@pytest.mark.parametrize('cooldown', [0, 3])
def test_plateau_is_that_of_torch_after_every_loss(*, relative: bool, cooldown: int) -> None:
    ours = schedules.ReduceOnPlateau(
        0.3,
        factor=0.5,
        patience=3,
        threshold=0.02,
        relative=relative,
        cooldown=cooldown,
        floor=1e-3,
    )
    reference = optimizer(0.3)
    theirs = lr_scheduler.ReduceLROnPlateau(
        reference,
        factor=0.5,
        patience=3,
        threshold=0.02,
        threshold_mode='rel' if relative else 'abs',
        cooldown=cooldown,
        min_lr=1e-3,
    )
    generator = torch.Generator().manual_seed(3)
    losses = [1 / (1 + 0.2 * min(k, 25)) for k in range(STEPS)]
    noise = torch.rand(STEPS, generator=generator, dtype=torch.float64)
    state = ours.init()
    rates: list[float] = []
    for loss, extra in zip(losses, noise.tolist(), strict=True):
        theirs.step(loss + 0.03 * extra)
        # What is remembered goes through JSON, as it does in a checkpoint.
        state = json.loads(json.dumps(ours.observe(state, loss + 0.03 * extra)))
        rates.append(ours.rate(0, state))
        assert rates[-1] == reference.param_groups[0]['lr']
    assert rates[0] == 0.3
    assert rates[-1] == 1e-3
    assert len(set(rates)) > 5


def test_plateau_counts_not_a_number_as_no_improvement() -> None:
    schedule = schedules.ReduceOnPlateau(1.0, factor=0.5, patience=1)
    state = schedule.init()
    for loss in (float('nan'), float('nan')):
        state = schedule.observe(state, loss)
    assert schedule.rate(0, state) == 0.5
    assert state['best'] is None


def test_plateau_makes_no_change_that_is_too_small() -> None:
    schedule = schedules.ReduceOnPlateau(1e-8, factor=0.5, patience=0)
    state = schedule.observe(schedule.observe(schedule.init(), 1.0), 1.0)
    assert schedule.rate(0, state) == 1e-8


def test_warm_up_hands_losses_on() -> None:
    schedule = schedules.WarmUp(schedules.ReduceOnPlateau(1.0, factor=0.5, patience=0), steps=4)
    state = schedule.observe(schedule.observe(schedule.init(), 1.0), 1.0)
    assert schedule.rate(0, state) == pytest.approx(0.5 * 0.01)
    assert schedule.rate(4, state) == 0.5


def test_fixed_schedules_remember_nothing() -> None:
    schedule = schedules.Constant(0.1)
    assert dict(schedule.observe(schedule.init(), 0.5)) == {}


@pytest.mark.parametrize('total', [1, 2, 3])
def test_one_cycle_is_defined_for_the_shortest_runs(total: int) -> None:
    schedule = schedules.OneCycle(1.0, total)
    rates = [schedule.rate(step) for step in range(total + 2)]
    assert all(0 < rate <= 1.0 for rate in rates)
    assert rates[-1] == pytest.approx(1 / 25 / 1e4)


def test_one_cycle_refuses_a_rise_without_a_fall() -> None:
    with pytest.raises(SettingError, match='rise: must be from 0 to below 1, got 1'):
        schedules.OneCycle(1.0, 10, rise=1.0)

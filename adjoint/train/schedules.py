"""Learning-rate schedules: the rate at a step, as a value that can be saved and continued."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, final

from adjoint.train.errors import SettingError

State: TypeAlias = Mapping[str, float | None]
"""What a schedule remembers: a flat mapping that JSON keeps exactly."""

NOTHING: State = MappingProxyType({})


class Schedule(ABC):
    """A learning rate that depends on the step and, for some, on the losses seen so far."""

    @abstractmethod
    def init(self) -> State:
        """Return what the schedule remembers before the first step."""

    @abstractmethod
    def rate(self, step: int, state: State = NOTHING) -> float:
        """Return the learning rate of a step; the first step is step 0."""

    @abstractmethod
    def observe(self, state: State, loss: float) -> State:
        """Return what the schedule remembers after a held-out loss was measured."""


class Fixed(Schedule):
    """A schedule that depends on the step alone."""

    @final
    def init(self) -> State:
        """Return what is remembered before the first step."""
        return NOTHING

    @final
    def observe(self, state: State, loss: float) -> State:
        """Return what is remembered after a held-out loss."""
        return state


@final
@dataclass(frozen=True)
class Constant(Fixed):
    """The same rate at every step.

    Parameters
    ----------
    base : float
        The rate.
    """

    base: float

    def rate(self, step: int, state: State = NOTHING) -> float:
        """Return the rate of a step."""
        return self.base


@final
@dataclass(frozen=True)
class StepDecay(Fixed):
    """A rate that is multiplied by a factor every so many steps.

    Parameters
    ----------
    base : float
        The rate at step 0.
    every : int
        Number of steps between two changes.
    factor : float, default 0.1
        What the rate is multiplied with.

    Notes
    -----
    ``base * factor ** (step // every)``, as ``torch.optim.lr_scheduler.StepLR``.

    Examples
    --------
    >>> schedule = StepDecay(0.5, every=2, factor=0.5)
    >>> [schedule.rate(step) for step in range(5)]
    [0.5, 0.5, 0.25, 0.25, 0.125]
    """

    base: float
    every: int
    factor: float = 0.1

    def rate(self, step: int, state: State = NOTHING) -> float:
        """Return the rate of a step."""
        return self.base * self.factor ** (step // self.every)


@final
@dataclass(frozen=True)
class Exponential(Fixed):
    """A rate that is multiplied by a factor at each step.

    Parameters
    ----------
    base : float
        The rate at step 0.
    factor : float
        What the rate is multiplied with.

    Notes
    -----
    ``base * factor ** step``, as ``torch.optim.lr_scheduler.ExponentialLR``.
    """

    base: float
    factor: float

    def rate(self, step: int, state: State = NOTHING) -> float:
        """Return the rate of a step."""
        return self.base * self.factor**step


@final
@dataclass(frozen=True)
class Cosine(Fixed):
    """A rate that falls along half a cosine.

    Parameters
    ----------
    base : float
        The rate at step 0.
    total : int
        The step at which the rate reaches `floor`.
    floor : float, default 0
        The lowest rate.

    Notes
    -----
    ``floor + (base - floor) * (1 + cos(pi * step / total)) / 2``, without restarts, as
    ``torch.optim.lr_scheduler.CosineAnnealingLR``: after `total` the rate rises again.

    References
    ----------
    I. Loshchilov, F. Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017.
    """

    base: float
    total: int
    floor: float = 0.0

    def rate(self, step: int, state: State = NOTHING) -> float:
        """Return the rate of a step."""
        return self.floor + (self.base - self.floor) * (1 + math.cos(math.pi * step / self.total)) / 2


@final
@dataclass(frozen=True)
class OneCycle(Fixed):
    """A rate that rises to a peak and falls far below where it began.

    Parameters
    ----------
    peak : float
        The highest rate.
    total : int
        Number of steps of the cycle; the last is step ``total - 1``, and so stays the rate after.
    rise : float, default 0.3
        The part of the cycle in which the rate rises, from 0 to below 1.
    start : float, default 25
        The rate begins at ``peak / start``.
    end : float, default 1e4
        The rate ends at ``peak / start / end``.
    shape : {'cosine', 'linear'}
        The curve between two rates.

    Raises
    ------
    SettingError
        If `rise` is out of range.

    Notes
    -----
    As ``torch.optim.lr_scheduler.OneCycleLR`` with two phases; momentum stays as it is.

    References
    ----------
    L. Smith, N. Topin, Super-Convergence, 2017.
    """

    peak: float
    total: int
    rise: float = 0.3
    start: float = 25.0
    end: float = 1e4
    shape: Literal['cosine', 'linear'] = 'cosine'

    def __post_init__(self) -> None:
        if not 0 <= self.rise < 1:
            raise SettingError('rise', f'must be from 0 to below 1, got {self.rise}')

    def rate(self, step: int, state: State = NOTHING) -> float:
        """Return the rate of a step."""
        first = self.peak / self.start
        top = self.rise * self.total - 1
        last = self.total - 1
        if top > 0 and step <= top:
            return self._between(first, self.peak, step / top)
        return self._between(self.peak, first / self.end, min((step - top) / (last - top), 1.0))

    def _between(self, left: float, right: float, part: float) -> float:
        if self.shape == 'linear':
            return left + (right - left) * part
        return right + (left - right) / 2 * (1 + math.cos(math.pi * part))


@final
@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """A rate that falls when the held-out loss no longer does.

    Parameters
    ----------
    base : float
        The rate at the start.
    factor : float, default 0.1
        What the rate is multiplied with.
    patience : int, default 10
        Number of losses without improvement that are let pass.
    threshold : float, default 1e-4
        By how much a loss must be better to count.
    relative : bool, default True
        Whether `threshold` is a part of the best loss or a difference to it.
    cooldown : int, default 0
        Number of losses after a change in which nothing is counted.
    floor : float, default 0
        The lowest rate.
    smallest : float, default 1e-8
        A change of the rate by no more than this is not made.

    Notes
    -----
    As ``torch.optim.lr_scheduler.ReduceLROnPlateau`` in the mode ``'min'``. A loss that is not a
    number counts as no improvement.
    """

    base: float
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    relative: bool = True
    cooldown: int = 0
    floor: float = 0.0
    smallest: float = 1e-8

    def init(self) -> State:
        """Return what is remembered before the first step."""
        return {'rate': self.base, 'best': None, 'bad': 0, 'cooling': 0}

    def rate(self, step: int, state: State = NOTHING) -> float:
        """Return the rate of a step."""
        rate = state.get('rate')
        return self.base if rate is None else rate

    def observe(self, state: State, loss: float) -> State:
        """Return what is remembered after a held-out loss."""
        seen = {**self.init(), **state}
        best, bad, cooling = seen['best'], seen['bad'] or 0, seen['cooling'] or 0
        if self._improves(loss, best):
            best, bad = loss, 0
        else:
            bad += 1
        if cooling > 0:
            cooling, bad = cooling - 1, 0
        rate = self.rate(0, seen)
        if bad > self.patience:
            lower = max(rate * self.factor, self.floor)
            rate = lower if rate - lower > self.smallest else rate
            cooling, bad = self.cooldown, 0
        return {'rate': rate, 'best': best, 'bad': bad, 'cooling': cooling}

    def _improves(self, loss: float, best: float | None) -> bool:
        if best is None:
            return loss < math.inf
        return loss < (best * (1 - self.threshold) if self.relative else best - self.threshold)


@final
@dataclass(frozen=True)
class WarmUp(Schedule):
    """A rate that first rises along a straight line, then follows another schedule.

    Parameters
    ----------
    after : Schedule
        What follows; its step 0 is the step at which the rise ends.
    steps : int
        Number of steps of the rise; 0 for none.
    start : float, default 0.01
        The part of the other schedule's first rate at which the rise begins.

    Notes
    -----
    As ``torch.optim.lr_scheduler.LinearLR`` before the other in a ``SequentialLR``.

    Examples
    --------
    >>> schedule = WarmUp(Constant(1.0), steps=4, start=0.2)
    >>> [round(schedule.rate(step), 12) for step in range(6)]
    [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    """

    after: Schedule
    steps: int
    start: float = 0.01

    def init(self) -> State:
        """Return what is remembered before the first step."""
        return self.after.init()

    def rate(self, step: int, state: State = NOTHING) -> float:
        """Return the rate of a step."""
        if step >= self.steps:
            return self.after.rate(step - self.steps, state)
        return self.after.rate(0, state) * (self.start + (1 - self.start) * step / self.steps)

    def observe(self, state: State, loss: float) -> State:
        """Return what is remembered after a held-out loss."""
        return self.after.observe(state, loss)

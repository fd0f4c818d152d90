"""The settings of a run: their defaults, their limits, and what they build."""

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast, final

import torch

from adjoint.train import rules, schedules
from adjoint.train.data import DIGITS
from adjoint.train.errors import RunError, SettingError
from adjoint.train.models import MODELS

RULES: Mapping[str, float] = {
    'sgd': 0.1,
    'momentum': 0.05,
    'nesterov': 0.05,
    'adagrad': 0.03,
    'rmsprop': 0.001,
    'adam': 0.003,
    'adamw': 0.003,
}
"""The update rules by name, with the learning rate that a run takes when none is given."""

SCHEDULES = ('constant', 'step', 'exponential', 'cosine', 'one-cycle', 'plateau')
DTYPES = {'float32': torch.float32, 'float64': torch.float64}

EPOCHS: Mapping[str, int] = {'logistic': 100, 'mlp': 60, 'transformer': 80}
"""Epochs that a model gets on the digits, by default."""

FOLDER_EPOCHS = 10
"""Epochs that a model gets on a folder, by default: such sets have many more images."""

DECAY: Mapping[str, float] = {'logistic': 0.0, 'mlp': 0.5, 'transformer': 0.5}
"""Weight decay that a model gets with AdamW, by default; with other rules it gets none."""

WARMUP = 2.0
"""Epochs of warm-up by default, or a tenth of a short run."""

THREADS = 1
"""Threads by default: the matrices of these models are too small to gain from more."""

MOMENTUM = 0.9
"""Of the rules ``momentum`` and ``nesterov``."""


@final
@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of a run, all of them; `Config.of` fills in those that are left out.

    Parameters
    ----------
    epochs : int
        Passes over the training images, at most.
    rate : float
        Learning rate; the highest one where the schedule changes it.
    weight_decay : float
        Coefficient of the weight decay.
    warmup : float
        Epochs in which the rate first rises along a straight line.
    threads : int
        Threads of torch; recorded, because another number may round otherwise.
    model : str
        One of ``'logistic'``, ``'mlp'``, ``'transformer'``.
    data : str
        ``'digits'`` or the path of a folder with MNIST-format IDX files.
    batch_size : int
        Images an update.
    rule : str
        Name of the update rule.
    schedule : str
        Name of the schedule.
    clip_norm : float, optional
        The largest norm of all gradients together.
    clip_value : float, optional
        The largest magnitude of an entry of a gradient.
    patience : int
        Epochs without a lower validation loss after which the run stops; 0 for never.
    min_delta : float
        By how much the validation loss must fall to count.
    seed : int
        Seed of the initial weights and of the order of the images.
    dtype : str
        ``'float32'`` or ``'float64'``.
    checkpoint_every : int
        Updates between two checkpoints within an epoch; there is one after each epoch anyway.

    Raises
    ------
    SettingError
        If a value makes no sense.
    """

    epochs: int
    rate: float
    weight_decay: float
    warmup: float
    threads: int
    model: str = 'transformer'
    data: str = DIGITS
    batch_size: int = 64
    rule: str = 'adamw'
    schedule: str = 'cosine'
    clip_norm: float | None = None
    clip_value: float | None = None
    patience: int = 20
    min_delta: float = 0.0
    seed: int = 0
    dtype: str = 'float32'
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        _choose('model', self.model, MODELS)
        _choose('rule', self.rule, RULES)
        _choose('schedule', self.schedule, SCHEDULES)
        _choose('dtype', self.dtype, DTYPES)
        for name in ('epochs', 'batch_size', 'threads', 'checkpoint_every'):
            _at_least(name, getattr(self, name), 1)
        for name in ('patience', 'warmup', 'weight_decay', 'min_delta', 'seed'):
            _at_least(name, getattr(self, name), 0)
        for name in ('rate', 'clip_norm', 'clip_value'):
            _positive(name, getattr(self, name))
        if self.warmup >= self.epochs:
            raise SettingError(
                'warmup',
                f'must be shorter than the run of {self.epochs} epochs, got {self.warmup:g}',
            )

    @classmethod
    def of(cls, **given: Any) -> 'Config':
        """Return settings in which what is left out suits the model, the images and the rule.

        Parameters
        ----------
        **given
            Any of the settings.

        Returns
        -------
        Config
            Complete.

        Raises
        ------
        SettingError
            If a value makes no sense.

        Examples
        --------
        >>> config = Config.of(model='mlp', rule='nesterov')
        >>> config.epochs, config.rate, config.weight_decay
        (60, 0.05, 0.0)
        """
        model, rule = given.get('model', cls.model), given.get('rule', cls.rule)
        _choose('model', model, MODELS)
        _choose('rule', rule, RULES)
        own_images = given.get('data', cls.data) != DIGITS
        epochs = given.get('epochs', FOLDER_EPOCHS if own_images else EPOCHS[model])
        filled: dict[str, Any] = {
            'epochs': epochs,
            'rate': RULES[rule],
            'weight_decay': DECAY[model] if rule == 'adamw' else 0.0,
            'warmup': max(0.0, min(WARMUP, epochs / 10)),
            'threads': THREADS,
        }
        return cls(**{**filled, **given})

    @property
    def tensor_dtype(self) -> torch.dtype:
        """The dtype of weights and images."""
        return DTYPES[self.dtype]

    def make_rule(self) -> rules.Rule:
        """Return the update rule that the settings describe."""
        decay = self.weight_decay
        match self.rule:
            case 'sgd':
                return rules.SGD(weight_decay=decay)
            case 'momentum':
                return rules.SGD(momentum=MOMENTUM, weight_decay=decay)
            case 'nesterov':
                return rules.SGD(momentum=MOMENTUM, nesterov=True, weight_decay=decay)
            case 'adagrad':
                return rules.AdaGrad(weight_decay=decay)
            case 'rmsprop':
                return rules.RMSProp(weight_decay=decay)
            case 'adam':
                return rules.Adam(weight_decay=decay)
            case _:
                return rules.AdamW(weight_decay=decay)

    def make_schedule(self, batches: int) -> schedules.Schedule:
        """Return the schedule that the settings describe.

        Parameters
        ----------
        batches : int
            Updates an epoch.

        Returns
        -------
        Schedule
            With steps counted in updates; a plateau is observed once an epoch.
        """
        rate = self.rate
        rise = round(self.warmup * batches)
        total = max(self.epochs * batches - rise, 1)
        match self.schedule:
            case 'constant':
                after = schedules.Constant(rate)
            case 'step':
                after = schedules.StepDecay(rate, every=max(total // 3, 1))
            case 'exponential':
                after = schedules.Exponential(rate, factor=0.01 ** (1 / total))
            case 'cosine':
                after = schedules.Cosine(rate, total)
            case 'one-cycle':
                # It has a warm-up of its own.
                return schedules.OneCycle(rate, total + rise)
            case _:
                after = schedules.ReduceOnPlateau(rate, factor=0.5, patience=4)
        return schedules.WarmUp(after, rise) if rise else after

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON keeps them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> 'Config':
        """Return the settings that `to_json` gave.

        Raises
        ------
        RunError
            If a setting is missing, unknown or has a value that makes no sense.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        known: dict[str, Any] = cast('dict[str, Any]', values) if isinstance(values, dict) else {}
        if set(known) != names:
            raise RunError('the settings are not those of this version of adjoint')
        try:
            return cls(**known)
        except (SettingError, TypeError) as error:
            raise RunError(f'the settings make no sense: {error}') from error


def _choose(setting: str, name: str, known: Iterable[str]) -> None:
    known = list(known)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1)
    hint = f'; did you mean {near[0]!r}?' if near else ''
    raise SettingError(setting, f'unknown {setting} {name!r}: there are {", ".join(known)}{hint}')


def _at_least(setting: str, value: float, least: int) -> None:
    if not (math.isfinite(value) and value >= least):
        raise SettingError(setting, f'must be at least {least}, got {value}')


def _positive(setting: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise SettingError(setting, f'must be a positive number, got {value}')

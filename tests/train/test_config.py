"""Settings: defaults, limits, and what they build."""

import json
from typing import Any

import pytest

from adjoint.train import rules, schedules
from adjoint.train.config import EPOCHS, RULES, SCHEDULES, Config
from adjoint.train.errors import RunError, SettingError


def refused(**given: Any) -> SettingError:
    with pytest.raises(SettingError) as caught:
        Config.of(**given)
    return caught.value


@pytest.mark.parametrize(
    ('given', 'setting', 'problem'),
    [
        ({'epochs': 0}, 'epochs', 'must be at least 1, got 0'),
        ({'batch_size': -1}, 'batch_size', 'must be at least 1, got -1'),
        ({'rate': -0.1}, 'rate', 'must be a positive number, got -0.1'),
        ({'rate': 0.0}, 'rate', 'must be a positive number, got 0.0'),
        ({'rate': float('nan')}, 'rate', 'must be a positive number, got nan'),
        ({'rate': float('inf')}, 'rate', 'must be a positive number, got inf'),
        ({'weight_decay': -1.0}, 'weight_decay', 'must be at least 0, got -1.0'),
        ({'clip_norm': 0.0}, 'clip_norm', 'must be a positive number, got 0.0'),
        ({'clip_value': -2.0}, 'clip_value', 'must be a positive number, got -2.0'),
        ({'patience': -1}, 'patience', 'must be at least 0, got -1'),
        ({'seed': -1}, 'seed', 'must be at least 0, got -1'),
        ({'threads': 0}, 'threads', 'must be at least 1, got 0'),
        ({'warmup': 5.0, 'epochs': 5}, 'warmup', 'must be shorter than the run of 5 epochs, got 5'),
    ],
)
def test_senseless_value_is_refused(given: dict[str, Any], setting: str, problem: str) -> None:
    error = refused(**given)
    assert (error.setting, error.problem) == (setting, problem)


def test_unknown_model_is_refused_with_the_nearest() -> None:
    problem = refused(model='transfromer').problem
    assert problem == (
        "unknown model 'transfromer': there are logistic, mlp, transformer; did you mean 'transformer'?"
    )


@pytest.mark.parametrize('setting', ['rule', 'schedule', 'dtype'])
def test_unknown_name_is_refused(setting: str) -> None:
    error = refused(**{setting: 'zzz'})
    assert error.setting == setting
    assert error.problem.startswith(f"unknown {setting} 'zzz': there are ")
    assert 'did you mean' not in error.problem


@pytest.mark.parametrize('model', EPOCHS)
@pytest.mark.parametrize('rule', RULES)
@pytest.mark.parametrize('schedule', SCHEDULES)
def test_every_combination_has_defaults(model: str, rule: str, schedule: str) -> None:
    config = Config.of(model=model, rule=rule, schedule=schedule)
    made = config.make_schedule(batches=20)
    rates = [made.rate(step, made.init()) for step in range(20 * config.epochs)]
    assert max(rates) == pytest.approx(config.rate)
    assert rates[0] < max(rates)
    assert min(rates) > 0


@pytest.mark.parametrize(
    ('name', 'rule'),
    [
        ('sgd', rules.SGD(weight_decay=0.1)),
        ('momentum', rules.Momentum(weight_decay=0.1)),
        ('nesterov', rules.Nesterov(weight_decay=0.1)),
        ('adagrad', rules.AdaGrad(weight_decay=0.1)),
        ('rmsprop', rules.RMSProp(weight_decay=0.1)),
        ('adam', rules.Adam(weight_decay=0.1)),
        ('adamw', rules.AdamW(weight_decay=0.1)),
    ],
)
def test_rule_is_the_one_named(name: str, rule: rules.Rule) -> None:
    assert Config.of(rule=name, weight_decay=0.1).make_rule() == rule


def test_every_rule_is_tested() -> None:
    assert set(RULES) == {'sgd', 'momentum', 'nesterov', 'adagrad', 'rmsprop', 'adam', 'adamw'}


def test_no_warmup_means_the_schedule_itself() -> None:
    config = Config.of(warmup=0.0, schedule='constant', rate=0.5)
    assert config.make_schedule(10) == schedules.Constant(0.5)


@pytest.mark.parametrize('epochs', [1, 2, 15])
def test_short_runs_get_a_short_warmup(epochs: int) -> None:
    assert Config.of(epochs=epochs).warmup == epochs / 10


def test_json_keeps_the_settings() -> None:
    config = Config.of(model='mlp', rate=0.1 + 0.2, clip_norm=1.5, seed=3)
    assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize('change', [{'rate': -1.0}, {'rate': 'fast'}, {'unknown': 1}, {'model': None}])
def test_wrong_json_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RunError, match='the settings'):
        Config.from_json({**Config.of().to_json(), **change})


@pytest.mark.parametrize('content', [None, [], 'text', {}])
def test_json_of_something_else_is_refused(content: Any) -> None:
    with pytest.raises(RunError, match='not those of this version'):
        Config.from_json(content)

"""The loop: what it measures, when it ends, and that it can be continued anywhere."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import adjoint as ad
from adjoint.train import loop, models
from adjoint.train.check import LIMIT, check_gradient
from adjoint.train.config import Config
from adjoint.train.data import Dataset, Images
from adjoint.train.errors import RunError
from adjoint.train.records import TIMING, EpochRecord
from adjoint.train.report import Report, Silent
from adjoint.train.state import State, from_checkpoint, to_checkpoint
from adjoint.verify import numeric


def images(count: int, seed: int) -> Images:
    """Noise with a bright row that tells the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    pixels = 0.4 * torch.rand((count, 4, 5), generator=generator)
    pixels[torch.arange(count), labels] += 0.5
    return Images(pixels, labels)


DATA = Dataset('rows', images(50, 1), images(20, 2), images(21, 3), 3)


def job(**settings: Any) -> loop.Job:
    given = {'model': 'mlp', 'epochs': 4, 'batch_size': 16, 'checkpoint_every': 3, **settings}
    return loop.prepare(Config.of(**given), DATA)


class Stop:
    """Tells to stop after a number of updates."""

    def __init__(self, after: float = math.inf) -> None:
        self.left = after

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def finish(of: loop.Job, state: State, stop: Callable[[], bool] | None = None) -> State:
    return loop.train(of, state, lambda _: None, Silent(), stop or Stop())


def measured(history: Sequence[EpochRecord]) -> list[dict[str, Any]]:
    return [{key: value for key, value in r.items() if key not in TIMING} for r in history]


def assert_same(first: State, second: State) -> None:
    ours, theirs = to_checkpoint(first)[0], to_checkpoint(second)[0]
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert measured(first.history) == measured(second.history)
    assert first.result == second.result


def through_a_checkpoint(of: loop.Job, state: State) -> State:
    tensors, record = to_checkpoint(state)
    copies = {name: tensor.clone() for name, tensor in tensors.items()}
    return from_checkpoint(copies, json.loads(json.dumps(record)), of.start())


@pytest.mark.parametrize('model', models.MODELS)
def test_it_learns(model: str) -> None:
    of = job(model=model, epochs=25, rate=0.01)
    state = finish(of, of.start())
    assert state.result is not None
    assert state.result['test_accuracy'] > 0.9
    assert state.result['reason'] == 'all 25 epochs done'
    assert state.history[0]['train_loss'] > 2 * state.history[-1]['train_loss']


def test_record_holds_what_is_measured_anew() -> None:
    of = job(epochs=2)
    state = finish(of, of.start())
    record = state.history[-1]
    assert (record['epoch'], record['step'], of.batches) == (2, 8, 4)
    logits = ad.Evaluator([of.model.logits]).run(
        {
            **{node: state.parameters[name] for name, node in of.model.parameters.items()},
            of.model.images: DATA.validation.pixels,
        }
    )[0]
    expected = torch.nn.functional.cross_entropy(logits, DATA.validation.labels)
    assert record['validation_loss'] == pytest.approx(float(expected), rel=1e-6)
    right = (logits.argmax(1) == DATA.validation.labels).to(torch.float64).mean()
    assert record['validation_accuracy'] == pytest.approx(float(right), rel=1e-15)
    assert record['rate'] == of.schedule.rate(7)


def test_training_loss_is_the_mean_over_images_whatever_the_batches() -> None:
    # With a rate this small the weights stay, and the last, short batch must weigh less.
    of = job(epochs=1, rate=1e-12, schedule='constant', warmup=0.0)
    state = finish(of, of.start())
    loss, accuracy = loop.evaluate(of, state.parameters, of.data.train)
    assert state.history[0]['train_loss'] == pytest.approx(loss, rel=1e-6)
    assert state.history[0]['train_accuracy'] == accuracy


def test_evaluation_is_the_same_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    of = job(dtype='float64')
    parameters = of.start().parameters
    whole = loop.evaluate(of, parameters, of.data.train)
    predictions = loop.predict(of, parameters, of.data.train)
    monkeypatch.setattr(loop, 'CHUNK', 7)
    chunked = loop.evaluate(of, parameters, of.data.train)
    assert chunked == pytest.approx(whole, rel=1e-14)
    assert torch.equal(loop.predict(of, parameters, of.data.train), predictions)


def test_best_weights_are_those_of_the_lowest_validation_loss() -> None:
    # The rate is far too high on purpose: the loss goes up and down.
    of = job(epochs=8, rule='sgd', rate=2.0, schedule='constant', patience=0)
    state = finish(of, of.start())
    losses = [record['validation_loss'] for record in state.history]
    best = losses.index(min(losses))
    assert 0 < best < 7
    assert state.best_epoch == best + 1
    loss, _ = loop.evaluate(of, state.best, of.data.validation)
    assert loss == losses[best]
    assert state.result is not None
    assert state.result['best_epoch'] == best + 1
    assert state.result['test_loss'] == loop.evaluate(of, state.best, of.data.test)[0]


def test_it_stops_early() -> None:
    of = job(epochs=50, patience=2, min_delta=10.0)
    state = finish(of, of.start())
    assert state.epoch == 3
    assert state.result is not None
    assert state.result['reason'] == 'no lower validation loss in 2 epochs'


@pytest.mark.parametrize('schedule', ['plateau', 'one-cycle'])
@pytest.mark.parametrize('updates', [0, 1, 3, 4, 5, 9, 15])
def test_stopped_run_continues_to_the_same_bits(schedule: str, updates: int) -> None:
    of = job(schedule=schedule, clip_norm=1.0, rule='adam')
    whole = finish(of, of.start())
    stopped = finish(of, of.start(), Stop(updates)) if updates else of.start()
    assert stopped.result is None
    continued = finish(of, through_a_checkpoint(of, stopped))
    assert_same(continued, whole)


def test_every_saved_state_continues_to_the_same_bits() -> None:
    of = job(rule='nesterov', rate=0.05)
    saved: list[State] = []
    whole = loop.train(of, of.start(), saved.append, Silent(), Stop())
    # Of 4 updates an epoch, one checkpoint after 3 and one at the end.
    assert [(state.epoch, state.batch) for state in saved] == [
        position for epoch in range(4) for position in ((epoch, 3), (epoch + 1, 0))
    ]
    for state in saved:
        assert_same(finish(of, through_a_checkpoint(of, state)), whole)


def test_memories_of_schedule_and_stopping_survive_a_checkpoint() -> None:
    # The rate is so high that the loss jumps: the plateau lowers it, the best epoch is not the last,
    # and early stopping ends the run.
    of = job(epochs=40, rule='sgd', rate=3.0, warmup=0.0, schedule='plateau', patience=9, min_delta=0.3)
    saved: list[State] = []
    whole = loop.train(of, of.start(), saved.append, Silent(), Stop())
    assert whole.result is not None
    assert whole.result['reason'] == 'no lower validation loss in 9 epochs'
    assert len({record['rate'] for record in whole.history}) > 1
    for state in saved:
        assert_same(finish(of, through_a_checkpoint(of, state)), whole)


def test_stop_is_saved_before_it_ends() -> None:
    of = job()
    saved: list[State] = []
    state = loop.train(of, of.start(), saved.append, Silent(), Stop(1))
    assert saved == [state]
    assert (state.epoch, state.batch) == (0, 2)


def test_seed_decides_the_order_and_the_weights() -> None:
    first, second, other = (finish(of, of.start()) for of in (job(seed=1), job(seed=1), job(seed=2)))
    assert_same(first, second)
    assert any(not torch.equal(first.parameters[k], other.parameters[k]) for k in first.parameters)


def test_order_is_a_permutation_that_changes_with_seed_and_epoch() -> None:
    orders = [loop.shuffled(20, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(torch.equal(order.sort().values, torch.arange(20)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4


def test_divergence_is_told_and_not_saved() -> None:
    of = job(rule='sgd', rate=1e30, schedule='constant', warmup=0.0)
    saved: list[State] = []
    with pytest.raises(RunError, match=r'loss became (nan|inf) at update \d.*Lower --rate'):
        loop.train(of, of.start(), saved.append, Silent(), Stop())
    tensors = [t for state in saved for t in to_checkpoint(state)[0].values()]
    assert all(bool(tensor.isfinite().all()) for tensor in tensors)


def test_report_is_told_of_each_update_and_epoch() -> None:
    class Told(Report):
        def __init__(self) -> None:
            self.rates: list[float] = []
            self.epochs: list[int] = []

        def updated(self, state: State, rate: float) -> None:
            self.rates.append(rate)

        def ended_epoch(self, state: State) -> None:
            self.epochs.append(state.epoch)

    of, told = job(), Told()
    loop.train(of, of.start(), lambda _: None, told, Stop())
    assert told.rates == [of.schedule.rate(step) for step in range(16)]
    assert told.epochs == [1, 2, 3, 4]


def test_checkpoint_of_another_model_is_refused() -> None:
    tensors, record = to_checkpoint(job(model='mlp').start())
    with pytest.raises(RunError, match='does not fit the model of this run'):
        from_checkpoint(tensors, record, job(model='logistic').start())
    with pytest.raises(RunError, match='has format 99, this version of adjoint reads format 1'):
        from_checkpoint(tensors, {**record, 'format': 99}, job(model='mlp').start())


def directional(function: Any, point: Sequence[Tensor], direction: Sequence[Tensor]) -> float:
    return float(numeric.directional(function, list(point), list(direction), method='central'))


@pytest.mark.parametrize('model', models.MODELS)
def test_gradient_of_the_loss_is_right(model: str) -> None:
    of = job(model=model)
    checks = check_gradient(of.model, DATA.train, of.start().parameters, directional, directions=4)
    assert len({found.automatic for found in checks}) == 4
    assert all(abs(found.automatic) > 1e-4 for found in checks)
    assert max(found.error for found in checks) < 1e-7


@pytest.mark.parametrize('factor', [1 + 1e-4, -1.0, 0.0])
def test_wrong_gradient_is_found(factor: float) -> None:
    of = job(model='transformer')

    def wrong(function: Any, point: Sequence[Tensor], direction: Sequence[Tensor]) -> float:
        return factor * directional(function, point, direction)

    checks = check_gradient(of.model, DATA.train, of.start().parameters, wrong)
    assert min(found.error for found in checks) > LIMIT

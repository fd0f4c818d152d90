"""The training loop: updates, evaluation after each epoch, early stopping."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias, final

import torch
from torch import Tensor

import adjoint as ad
from adjoint.train import clip, models
from adjoint.train.config import Config
from adjoint.train.data import Dataset, Images
from adjoint.train.errors import RunError
from adjoint.train.records import EpochRecord, Result
from adjoint.train.report import Report
from adjoint.train.schedules import Schedule
from adjoint.train.state import State
from adjoint.train.stopping import EarlyStopping
from adjoint.transform.train_step import TrainStep, train_step

Save: TypeAlias = Callable[[State], None]
Stop: TypeAlias = Callable[[], bool]

CHUNK = 1024
"""Images evaluated at once."""


@final
@dataclass(frozen=True, eq=False)
class Job:
    """What a run works with and never changes; made by `prepare`.

    Parameters
    ----------
    config : Config
        The settings.
    data : Dataset
        The images, in the dtype of the settings.
    model : Model
        The graph.
    step : TrainStep
        Loss, gradients and update as one program.
    schedule : Schedule
        The learning rate.
    stopping : EarlyStopping
        When to end.
    """

    config: Config
    data: Dataset
    model: models.Model
    step: TrainStep
    schedule: Schedule
    stopping: EarlyStopping

    @property
    def batches(self) -> int:
        """Updates an epoch; the last batch may be short."""
        return math.ceil(len(self.data.train) / self.config.batch_size)

    def start(self) -> State:
        """Return the state before the first update."""
        parameters = self.model.initial(self.config.seed)
        return State(
            parameters=parameters,
            best=parameters,
            rule=self.step.init(parameters),
            schedule=self.schedule.init(),
            stopping=self.stopping.init(),
        )


def prepare(config: Config, data: Dataset) -> Job:
    """Build everything that a run works with.

    Parameters
    ----------
    config : Config
        The settings.
    data : Dataset
        The images.

    Returns
    -------
    Job
        Ready to start.
    """
    dtype = config.tensor_dtype
    data = data.to(dtype)
    model = models.build(config.model, data.size, data.classes, dtype)
    step = train_step(model.loss, model.parameters, config.make_rule(), [model.correct], _clip(config))
    batches = math.ceil(len(data.train) / config.batch_size)
    return Job(
        config=config,
        data=data,
        model=model,
        step=step,
        schedule=config.make_schedule(batches),
        stopping=EarlyStopping(config.patience, config.min_delta),
    )


def train(job: Job, state: State, save: Save, report: Report, stop: Stop) -> State:
    """Train until the last epoch, until early stopping, or until told to stop.

    Parameters
    ----------
    job : Job
        What is trained.
    state : State
        Where to begin: a fresh state or that of a checkpoint.
    save : Save
        Called with the state after each epoch, within long epochs, and when told to stop.
    report : Report
        Told of each update and each epoch.
    stop : Stop
        Asked after each update; true ends the run at once.

    Returns
    -------
    State
        With its result, unless told to stop.

    Raises
    ------
    RunError
        If the loss is no longer a finite number.

    Notes
    -----
    The same job and state give bit-identical weights, with the same number of threads on the same
    machine: the order of the images is a function of seed and epoch alone.
    """
    while (reason := _ended(job, state)) is None:
        order = shuffled(len(job.data.train), job.config.seed, state.epoch)
        while state.batch < job.batches:
            state = _update(job, state, order)
            report.updated(state, job.schedule.rate(state.rule.step - 1, state.schedule))
            if stop():
                save(state)
                return state
            if state.batch % job.config.checkpoint_every == 0 and state.batch < job.batches:
                save(state)
        state = _end_epoch(job, state)
        save(state)
        report.ended_epoch(state)
        if stop():
            return state
    return replace(state, result=_judge(job, state, reason))


def evaluate(job: Job, parameters: Mapping[str, Tensor], images: Images) -> tuple[float, float]:
    """Return the mean loss and the accuracy on a set of images.

    Parameters
    ----------
    job : Job
        Whose model.
    parameters : Mapping[str, Tensor]
        By name.
    images : Images
        The set.

    Returns
    -------
    tuple[float, float]
        Mean cross-entropy, and the part of the predictions that is right, from 0 to 1.
    """
    evaluator = ad.Evaluator([job.model.loss, job.model.correct])
    loss, correct = 0.0, 0
    for batch in _chunks(images):
        values = evaluator.run(_feed(job, parameters, batch))
        loss += float(values[0]) * len(batch)
        correct += int(values[1])
    return loss / len(images), correct / len(images)


def predict(job: Job, parameters: Mapping[str, Tensor], images: Images) -> Tensor:
    """Return the predicted class of each image, of shape ``(count,)``, ``int64``."""
    evaluator = ad.Evaluator([job.model.predictions])
    feeds = (_feed(job, parameters, batch) for batch in _chunks(images))
    return torch.cat([evaluator.run(feed)[0] for feed in feeds])


def shuffled(count: int, seed: int, epoch: int) -> Tensor:
    """Return the order of the images in an epoch, a function of seed and epoch alone.

    Parameters
    ----------
    count : int
        Number of images.
    seed, epoch : int
        Any two whole numbers.

    Returns
    -------
    Tensor
        A permutation, ``int64``.

    Examples
    --------
    >>> torch.equal(shuffled(9, seed=1, epoch=2), shuffled(9, seed=1, epoch=2))
    True
    """
    digest = hashlib.sha256(f'{seed} {epoch}'.encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], 'big'))
    return torch.randperm(count, generator=generator)


def _clip(config: Config) -> Callable[..., list[ad.Node]] | None:
    if config.clip_norm is None and config.clip_value is None:
        return None

    def clipped(gradients: list[ad.Node]) -> list[ad.Node]:
        if config.clip_value is not None:
            gradients = clip.clip_by_value(gradients, config.clip_value)
        if config.clip_norm is not None:
            gradients = clip.clip_by_norm(gradients, config.clip_norm)
        return gradients

    return clipped


def _ended(job: Job, state: State) -> str | None:
    if state.epoch and state.batch == 0 and job.stopping.stops(state.stopping):
        return f'no lower validation loss in {job.stopping.patience} epochs'
    if state.epoch >= job.config.epochs:
        return f'all {job.config.epochs} epochs done'
    return None


def _update(job: Job, state: State, order: Tensor) -> State:
    began = time.perf_counter()
    size = job.config.batch_size
    batch = job.data.train.take(order[state.batch * size : (state.batch + 1) * size])
    rate = job.schedule.rate(state.rule.step, state.schedule)
    feed = {job.model.images: batch.pixels, job.model.labels: batch.labels}
    result = job.step.run(feed, state.parameters, state.rule, rate)
    loss = _finite(float(result.loss), 'training', state)
    seconds = time.perf_counter() - began
    return replace(
        state,
        parameters=result.parameters,
        rule=result.state,
        batch=state.batch + 1,
        loss_sum=state.loss_sum + loss * len(batch),
        correct=state.correct + int(result.outputs[0]),
        seen=state.seen + len(batch),
        train_seconds=state.train_seconds + seconds,
        seconds=state.seconds + seconds,
    )


def _end_epoch(job: Job, state: State) -> State:
    began = time.perf_counter()
    loss, accuracy = evaluate(job, state.parameters, job.data.validation)
    loss = _finite(loss, 'validation', state)
    stopping, improved = job.stopping.observe(state.stopping, loss)
    seconds = state.seconds + time.perf_counter() - began
    record = EpochRecord(
        epoch=state.epoch + 1,
        step=state.rule.step,
        train_loss=state.loss_sum / state.seen,
        train_accuracy=state.correct / state.seen,
        validation_loss=loss,
        validation_accuracy=accuracy,
        rate=job.schedule.rate(state.rule.step - 1, state.schedule),
        samples_per_second=round(state.seen / state.train_seconds, 1),
        seconds=round(seconds, 3),
    )
    return replace(
        state,
        best=state.parameters if improved else state.best,
        schedule=job.schedule.observe(state.schedule, loss),
        stopping=stopping,
        history=(*state.history, record),
        batch=0,
        loss_sum=0.0,
        correct=0,
        seen=0,
        train_seconds=0.0,
        seconds=seconds,
    )


def _judge(job: Job, state: State, reason: str) -> Result:
    loss, accuracy = evaluate(job, state.best, job.data.test)
    return Result(reason=reason, best_epoch=state.best_epoch, test_loss=loss, test_accuracy=accuracy)


def _finite(loss: float, kind: str, state: State) -> float:
    if math.isfinite(loss):
        return loss
    raise RunError(
        f'the {kind} loss became {loss} at update {state.rule.step + 1} (epoch {state.epoch + 1}): '
        'training diverged. Lower --rate, or bound the gradients with --clip-norm 1; '
        'the last checkpoint is from before'
    )


def _feed(job: Job, parameters: Mapping[str, Tensor], batch: Images) -> dict[ad.Node, Tensor]:
    feed = {node: parameters[name] for name, node in job.model.parameters.items()}
    return {**feed, job.model.images: batch.pixels, job.model.labels: batch.labels}


def _chunks(images: Images) -> Iterator[Images]:
    for begin in range(0, len(images), CHUNK):
        yield images.take(torch.arange(begin, min(begin + CHUNK, len(images))))

"""What a run measures: the line of an epoch and the result at the end."""

from typing import TypedDict, final


@final
class EpochRecord(TypedDict):
    """One line of ``metrics.jsonl``.

    Parameters
    ----------
    epoch : int
        Counted from 1.
    step : int
        Updates made since the start of the run.
    train_loss, train_accuracy : float
        Means over the epoch, measured while the weights moved.
    validation_loss, validation_accuracy : float
        Means over the validation images, after the epoch.
    rate : float
        Learning rate of the last update.
    samples_per_second : float
        Images trained on a second, without evaluation.
    seconds : float
        Time since the start of the run, without the time between a stop and its resumption.
    """

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    rate: float
    samples_per_second: float
    seconds: float


TIMING = ('samples_per_second', 'seconds')
"""The fields that differ between two equal runs."""


@final
class Result(TypedDict):
    """What a finished run came to.

    Parameters
    ----------
    reason : str
        Why it ended.
    best_epoch : int
        The epoch whose weights were kept.
    test_loss, test_accuracy : float
        Means over the test images, with these weights.
    """

    reason: str
    best_epoch: int
    test_loss: float
    test_accuracy: float

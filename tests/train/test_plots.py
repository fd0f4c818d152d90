"""Pictures: they are made, and they show what was measured."""

import io
from collections.abc import Callable

import matplotlib.image
import pytest
import torch

from adjoint.train import plots
from adjoint.train.records import EpochRecord


def history(epochs: int) -> list[EpochRecord]:
    return [
        EpochRecord(
            epoch=k,
            step=10 * k,
            train_loss=2.0 / k,
            train_accuracy=1 - 0.5 / k,
            validation_loss=2.5 / k + 0.02 * k,
            validation_accuracy=1 - 0.6 / k,
            rate=0.01 / k,
            samples_per_second=1e3,
            seconds=k,
        )
        for k in range(1, epochs + 1)
    ]


def pixels(png: bytes) -> torch.Tensor:
    return torch.from_numpy(matplotlib.image.imread(io.BytesIO(png), format='png').copy())


@pytest.mark.parametrize('epochs', [1, 2, 30])
def test_curves_are_drawn_in_the_colours_of_their_legend(epochs: int) -> None:
    picture = pixels(plots.curves(history(epochs), 'a title'))
    for colour in (plots.TRAIN, plots.HELD_OUT):
        wanted = torch.tensor([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
        assert ((picture[..., :3] - wanted).abs().amax(-1) < 0.02).sum() > 50


@pytest.mark.parametrize('classes', [2, 10, 26])
def test_confusion_matrix_is_drawn_for_any_number_of_classes(classes: int) -> None:
    right = plots.confusion(torch.eye(classes, dtype=torch.int64) * 9, 'right')
    wrong = plots.confusion(torch.eye(classes, dtype=torch.int64).flip(0) * 9, 'wrong')
    assert pixels(right).shape == pixels(wrong).shape
    assert not torch.equal(pixels(right), pixels(wrong))


def test_class_without_images_is_drawn() -> None:
    matrix = torch.tensor([[3, 1], [0, 0]])
    assert pixels(plots.confusion(matrix, 'title')).isfinite().all()


@pytest.mark.parametrize('draw', [lambda: plots.curves(history(3), 'title')])
def test_same_values_give_the_same_picture(draw: Callable[[], bytes]) -> None:
    assert draw() == draw()


def test_confusion_counts_every_image_once() -> None:
    labels = torch.tensor([0, 1, 2, 2, 2, 1])
    predictions = torch.tensor([0, 2, 2, 2, 1, 1])
    matrix = plots.confusion_matrix(labels, predictions, classes=4)
    expected = [[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 2, 0], [0, 0, 0, 0]]
    assert matrix.tolist() == expected

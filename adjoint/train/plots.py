"""Pictures of a run: its curves and its confusion matrix."""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adjoint.train.extras import require
from adjoint.train.records import EpochRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAIN = '#1f77b4'
HELD_OUT = '#d62728'


def curves(history: Sequence[EpochRecord], title: str) -> bytes:
    """Draw loss, accuracy and rate by epoch.

    Parameters
    ----------
    history : Sequence[EpochRecord]
        One record an epoch.
    title : str
        Stands above the picture.

    Returns
    -------
    bytes
        A PNG picture.

    Notes
    -----
    The dotted line marks the epoch with the lowest validation loss, whose weights are kept.
    """
    figure = _figure(10.5, 3.6)
    epochs = [record['epoch'] for record in history]
    best = min(history, key=lambda record: record['validation_loss'])['epoch']
    loss, accuracy, rate = figure.subplots(1, 3)
    loss.plot(epochs, [r['train_loss'] for r in history], color=TRAIN, label='train')
    loss.plot(epochs, [r['validation_loss'] for r in history], color=HELD_OUT, label='validation')
    loss.set(yscale='log', title='cross-entropy loss')
    accuracy.plot(epochs, [100 * r['train_accuracy'] for r in history], color=TRAIN)
    accuracy.plot(epochs, [100 * r['validation_accuracy'] for r in history], color=HELD_OUT)
    accuracy.set(title='accuracy (%)')
    rate.plot(epochs, [r['rate'] for r in history], color='black')
    rate.set(title='learning rate')
    for axes in (loss, accuracy, rate):
        axes.set(xlabel='epoch')
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(epochs) == 1:
            for line in axes.lines:
                line.set_marker('o')
    for axes in (loss, accuracy):
        axes.axvline(best, color='black', linestyle=':', linewidth=1)
    loss.plot([], [], color='black', linestyle=':', linewidth=1, label=f'best (epoch {best})')
    loss.legend(frameon=False)
    figure.suptitle(title)
    return _png(figure)


def confusion(matrix: Tensor, title: str) -> bytes:
    """Draw a confusion matrix.

    Parameters
    ----------
    matrix : Tensor
        Of shape ``(classes, classes)``, whole numbers; rows are true classes, columns predictions.
    title : str
        Stands above the picture.

    Returns
    -------
    bytes
        A PNG picture; the colour is the part of its row, the number the count.
    """
    classes = len(matrix)
    side = max(4.5, 0.45 * classes + 1.5)
    figure = _figure(side + 0.8, side)
    axes: Any = figure.subplots()
    parts = matrix / matrix.sum(1, keepdim=True).clamp(min=1)
    image = axes.imshow(parts.tolist(), cmap='Blues', vmin=0, vmax=1)
    figure.colorbar(image, label='part of the true class', shrink=0.8)
    for i in range(classes):
        for j in range(classes):
            if count := int(matrix[i, j]):
                dark = float(parts[i, j]) > 0.5  # noqa: PLR2004  (half of the colour scale)
                colour = 'white' if dark else 'black'
                axes.text(j, i, str(count), ha='center', va='center', color=colour, fontsize=9)
    axes.set(xlabel='predicted', ylabel='true', title=title, xticks=range(classes), yticks=range(classes))
    return _png(figure)


def confusion_matrix(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Count how often each class was taken for each.

    Parameters
    ----------
    labels, predictions : Tensor
        Of shape ``(count,)``, whole numbers below `classes`.
    classes : int
        Number of classes.

    Returns
    -------
    Tensor
        Of shape ``(classes, classes)``, ``int64``; rows are labels, columns predictions.

    Examples
    --------
    >>> confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), classes=2)
    tensor([[1, 0],
            [1, 1]])
    """
    pairs = labels * classes + predictions
    return torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def _figure(width: float, height: float) -> 'Figure':
    require('matplotlib')
    from matplotlib.figure import Figure

    # A figure of its own, without pyplot: no display, no global list of figures.
    return Figure((width, height), dpi=130, layout='constrained')


def _png(figure: 'Figure') -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()

"""Check the gradient of a model's loss before training, against a derivative handed in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from torch import Tensor

import adjoint as ad
from adjoint.train import models
from adjoint.train.data import Images

Function: TypeAlias = Callable[[Sequence[Tensor]], Tensor]
Directional: TypeAlias = Callable[[Function, Sequence[Tensor], Sequence[Tensor]], float]
"""The derivative of a function at a point along a direction, found without our gradients."""

LIMIT = 1e-5
"""The largest relative error that passes; central differences in float64 reach about 1e-8."""

IMAGES = 32


@final
@dataclass(frozen=True)
class DirectionCheck:
    """The derivative of the loss along one direction, found in two ways.

    Parameters
    ----------
    numeric : float
        From values of the loss alone.
    automatic : float
        The inner product of our gradient with the direction.
    """

    numeric: float
    automatic: float

    @property
    def error(self) -> float:
        """The difference, relative to the larger of the two magnitudes."""
        scale = max(abs(self.numeric), abs(self.automatic))
        return abs(self.numeric - self.automatic) / scale if scale else 0.0


def check_gradient(
    model: models.Model,
    images: Images,
    parameters: Mapping[str, Tensor],
    directional: Directional,
    *,
    seed: int = 0,
    directions: int = 3,
) -> list[DirectionCheck]:
    """Compare the gradient of the loss with another derivative, along random directions.

    Parameters
    ----------
    model : Model
        Whose loss is checked; the check builds the same graph in float64.
    images : Images
        The first few are the batch.
    parameters : Mapping[str, Tensor]
        The point.
    directional : Directional
        Finds the other derivative.
    seed : int, default 0
        Seed of the directions.
    directions : int, default 3
        How many.

    Returns
    -------
    list[DirectionCheck]
        One a direction.

    Notes
    -----
    Each direction is normally distributed over all entries of all parameters, of length 1.
    """
    exact = models.build(model.name, model.size, model.classes, torch.float64)
    batch = {
        exact.images: images.pixels[:IMAGES].to(torch.float64),
        exact.labels: images.labels[:IMAGES],
    }
    nodes = list(exact.parameters.values())
    point = [parameters[name].to(torch.float64) for name in exact.parameters]
    value = ad.Evaluator([exact.loss])

    def loss(values: Sequence[Tensor]) -> Tensor:
        return value.run({**batch, **dict(zip(nodes, values, strict=True))})[0]

    slopes = ad.Evaluator(ad.gradients(exact.loss, nodes)).run(
        {**batch, **dict(zip(nodes, point, strict=True))}
    )
    generator = torch.Generator().manual_seed(seed)
    checks: list[DirectionCheck] = []
    for _ in range(directions):
        direction = _direction(point, generator)
        automatic = sum(float((slope * entry).sum()) for slope, entry in zip(slopes, direction, strict=True))
        checks.append(DirectionCheck(directional(loss, point, direction), automatic))
    return checks


def _direction(point: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
    drawn = [torch.randn(t.shape, dtype=torch.float64, generator=generator) for t in point]
    length = sum(float((t * t).sum()) for t in drawn) ** 0.5
    return [t / length for t in drawn]

"""Which of several equal entries is taken: found by breaking their ties in both ways."""

from typing import cast

import torch

__all__ = ['ties_broken']


def ties_broken(x: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return numbers in the order of ``x``, equal ones in the order of ``places``, and in its reverse.

    Where an op that takes the largest entry takes another of each, there was a tie.

    Parameters
    ----------
    x : torch.Tensor
        Real, of any shape. Each nan is the largest by itself.
    places : torch.Tensor
        Whole numbers from 0 to below the number of entries, of the shape of ``x`` or broadcast to it.
    """
    _, inverse = cast('tuple[torch.Tensor, torch.Tensor]', torch.unique(x, return_inverse=True))
    ranks = inverse.to(torch.float64) * max(x.numel(), 1)
    return ranks + places, ranks - places

"""W11: the log-likelihood of a mixture of Gaussians with a Wishart prior, float64; gradients.

After the problem GMM of ADBench: n points in d dimensions, k components, each with the logarithms of the
diagonal and the rest of a triangular root of its precision.
"""

import math
from typing import Any

import torch

from benchmarks.workloads.workload import Workload, randn

POINTS, GAMMA, FREEDOM = 1000, 1.0, 0


def workload(name: str, d: int, k: int) -> Workload:
    """Return the workload of a size."""
    below = d * (d - 1) // 2
    # Where in (below, then one zero) each entry of a strictly lower triangle stands.
    rows, columns = torch.tril_indices(d, d, -1)
    places = torch.full((d, d), below)
    places[rows, columns] = torch.arange(below)
    places = places.reshape(-1)

    def make() -> list[torch.Tensor]:
        double = torch.float64
        return [
            randn(k, seed=0, dtype=double),
            randn(k, d, seed=1, dtype=double),
            randn(k, d + below, seed=2, scale=0.3, dtype=double),
            randn(POINTS, d, seed=3, dtype=double),
            torch.zeros(k, 1, dtype=double),
            places,
        ]

    def loss(weights: Any, means: Any, roots: Any, points: Any, zero: Any, places: Any) -> Any:
        logs, rest = roots[:, :d], roots[:, d:]
        diagonal = torch.exp(logs)
        lower = torch.reshape(torch.index_select(torch.cat([rest, zero], 1), 1, places), (k, d, d))
        centred = torch.unsqueeze(points, 0) - torch.unsqueeze(means, 1)
        scaled = torch.unsqueeze(diagonal, 1) * centred + torch.matmul(centred, torch.transpose(lower, 1, 2))
        inner = torch.unsqueeze(weights + torch.sum(logs, 1), 1) - 0.5 * torch.sum(scaled * scaled, 2)
        likelihood = torch.sum(torch.logsumexp(inner, 0)) - POINTS * torch.logsumexp(weights, 0)
        squares = torch.sum(diagonal * diagonal) + torch.sum(rest * rest)
        prior = 0.5 * GAMMA**2 * squares - FREEDOM * torch.sum(logs)
        return likelihood - 0.5 * POINTS * d * math.log(2 * math.pi) - prior

    return Workload(name, f'Gaussian mixture, d={d}, k={k}', make, loss, 3, tolerance=1e-9)


SMALL = workload('W11a', 2, 5)
MIDDLE = workload('W11b', 10, 25)
LARGE = workload('W11c', 32, 25)

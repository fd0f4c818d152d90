"""A rule that tests may spoil, and what a report says failed."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

import adjoint as ad
from adjoint.verify.report import Finding, Report

A = torch.tensor([[0.3, 0.7, -0.4], [1.2, -2.1, 0.8]], dtype=torch.float64)
B = torch.tensor([0.4, 1.5, -0.6], dtype=torch.float64)
Z = torch.complex(A, A.flip(0) + 0.5)

Spoil = Callable[[Any, Any], Sequence[Any]]


class Weighted(ad.Op):
    """a * b * b, with a rule that a test may spoil."""

    def __init__(self, spoil: Spoil | None = None, forward: Any = None) -> None:
        self.spoil = spoil or (lambda a, b: (a, b))
        self.forward = forward

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        return a * b * b

    def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
        a, b = node.inputs
        by_a = output_grad * ad.conj(b) * ad.conj(b)
        by_b = output_grad * 2 * ad.conj(a) * ad.conj(b)
        return list(self.spoil(ad.sum_to_like(by_a, a), ad.sum_to_like(by_b, b)))

    def jvp(self, node: ad.Node, input_tangents: Any) -> ad.Node | None:
        if self.forward is not None:
            return self.forward(node, input_tangents)
        return super().jvp(node, input_tangents)


def failed(report: Report) -> set[str]:
    """The claims that do not hold."""
    return {f.claim for f in report.failures}


def first(report: Report, claim: str) -> Finding:
    """The first failure of a claim."""
    return next(f for f in report.failures if f.claim == claim)

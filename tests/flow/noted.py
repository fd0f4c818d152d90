"""An op that notes when it is computed."""

import torch

import adjoint as ad
from adjoint import Node


class Noted(ad.Unary):
    """``x``, noting its name as it is computed; its partial, 1, notes the name with a prime."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.label = name
        self.seen = seen

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        if x.device.type != 'meta':
            self.seen.append(self.label)
        return x * 1.0

    def partial(self, y: Node, x: Node) -> Node:
        return Noted(self.label + "'", self.seen)(ad.ones_like(x))

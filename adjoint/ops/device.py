"""Moves between devices."""

from collections.abc import Sequence

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.linear import EntrywiseMap

__all__ = ['ToDevice', 'ToDeviceOf', 'to_device', 'to_device_of']


class ToDevice(EntrywiseMap):
    """``a`` on another device."""

    axes = ()

    def __call__(self, a: Operand, device: torch.device | str) -> Node:
        a, device = as_node(a, self.name), torch.device(device)
        known = None if a.type is None else a.type.device
        if known is not None and known.type == device.type and device.index in {None, known.index}:
            return a
        return Node([a], self, {'device': device})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.to(node.attrs['device'])

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        (a,) = input_types
        return a._replace(device=node.attrs['device'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (a,) = node.inputs
        return (to_device_of(ct, a),)


class ToDeviceOf(EntrywiseMap):
    """``a`` on the device of ``like``: the adjoint of :class:`ToDevice`."""

    axes = ()

    def __call__(self, a: Operand, like: Operand) -> Node:
        return Node([as_node(a, self.name), as_node(like, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        return a.to(like.device)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        a, like = input_types
        return a._replace(device=like.device)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, _ = node.inputs
        return to_device_of(ct, a), None


to_device = ToDevice()
to_device_of = ToDeviceOf()

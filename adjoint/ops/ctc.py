"""Connectionist temporal classification: the loss of all ways to align a sequence."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.errors import NonDifferentiableError
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.creation import constant
from adjoint.ops.reduction import sum_
from adjoint.ops.shape import unsqueeze

__all__ = ['CTCLoss', 'CTCWeights', 'ctc_nll', 'ctc_weights']


class _CTC(Op):
    """Base of the ops of connectionist temporal classification; the lengths may be operands."""

    def __call__(
        self,
        log_probs: Operand,
        targets: Operand,
        input_lengths: Operand | Sequence[int],
        target_lengths: Operand | Sequence[int],
        blank: int = 0,
        zero_infinity: bool = False,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        log_probs : Node or torch.Tensor
            Log-probabilities ``(time, batch, classes)``.
        targets : Node or torch.Tensor
            Classes ``(batch, length)``, or all of them one after the other.
        input_lengths, target_lengths : Node, torch.Tensor or sequence of int
            How much of each sample counts.
        blank : int
            The class that stands for nothing.
        zero_infinity : bool
            Whether nothing flows from infinite losses.
        """
        operands = [as_node(log_probs, self.name), as_node(targets, self.name)]
        attrs: dict[str, Any] = {'blank': blank, 'zero_infinity': zero_infinity}
        for name, lengths in (('input_lengths', input_lengths), ('target_lengths', target_lengths)):
            if isinstance(lengths, Sequence):
                attrs[name] = tuple(lengths)
            else:
                operands.append(as_node(lengths, self.name))
        return Node(operands, self, attrs)

    @staticmethod
    def arguments(node: Node, values: list[torch.Tensor]) -> list[Any]:
        """Return the tensors and lengths as the kernel takes them."""
        if 'input_lengths' in node.attrs:
            return [*values, node.attrs['input_lengths'], node.attrs['target_lengths']]
        return values


class CTCWeights(_CTC):
    """The derivative of each sample's ``ctc_nll`` by the log-probabilities, of their shape.

    It has no derivative of its own: torch's kernel for it has none.
    """

    name = 'ctc_weights'

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        given = self.arguments(node, input_values)
        blank, zero_infinity = node.attrs['blank'], node.attrs['zero_infinity']
        found, alpha = torch.ops.aten._ctc_loss(*given, blank, zero_infinity)  # noqa: SLF001 an op of ATen
        backward = torch.ops.aten._ctc_loss_backward  # noqa: SLF001 the same
        return backward(torch.ones_like(found), *given, found, alpha, blank, zero_infinity)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        if node.inputs[0].op is constant:
            return [None] * len(node.inputs)
        msg = f'ctc_loss has a first derivative only, as in torch\n{node.location}'
        raise NonDifferentiableError(msg)


class CTCLoss(_CTC):
    """Minus the log-probability of the targets, over all ways to align them, for each sample.

    Notes
    -----
    As in torch, the cotangent is that by the logits that ``log_softmax`` made the log-probabilities of: it
    is right where they are normalised. There is no second derivative.
    """

    name = 'ctc_nll'

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        given = self.arguments(node, input_values)
        blank, zero_infinity = node.attrs['blank'], node.attrs['zero_infinity']
        found, _ = torch.ops.aten._ctc_loss(*given, blank, zero_infinity)  # noqa: SLF001 an op of ATen
        return found

    @staticmethod
    def _weights(node: Node) -> Node:
        return Node(node.inputs, ctc_weights, node.attrs)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        ct = unsqueeze(output_grad, -1) * self._weights(node)
        return [ct, *(None for _ in node.inputs[1:])]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        t = input_tangents[0]
        return None if t is None else sum_(sum_(t * self._weights(node), -1), 0)


ctc_weights = CTCWeights()
ctc_nll = CTCLoss()

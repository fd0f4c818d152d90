"""What a workload is: a function, what it is differentiated by, and what is done with the derivative."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch

import adjoint as ad

__all__ = ['Kind', 'Workload', 'nothing_more', 'randn']

Kind: TypeAlias = Literal['gradient', 'product', 'hessian', 'jacobian']


def nothing_more(_: Sequence[Any], grads: Sequence[Any]) -> list[Any]:
    """Return the gradients as they are."""
    return list(grads)


def randn(*shape: int, seed: int, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Random numbers, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * scale


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    Parameters
    ----------
    name, title : str
        The row, and what it is.
    make : callable
        Returns the tensors; called when the workload runs.
    loss : callable
        From tensors, or nodes, to a scalar.
    by : int
        By how many of the tensors it is differentiated, from the first on.
    finish : callable
        From the tensors and the gradients to what is returned beside the loss, such as the next parameters.
    by_hand : callable, optional
        The same in straight-line torch, as one would write it who knows the derivative.
    kind : {'gradient', 'product', 'hessian', 'jacobian'}
        The loss and its gradients; the product of the Hessian with the last tensor; the Hessian; the
        Jacobian of residuals. All but the first by one tensor.
    tolerance : float
        How far the results of peers may differ, relative to the largest entry.
    loss_of_nodes : callable, optional
        The loss as one writes it for a graph, where that is another: a loop as ``scan``.
    """

    name: str
    title: str
    make: Callable[[], list[torch.Tensor]]
    loss: Callable[..., Any]
    by: int
    finish: Callable[[Sequence[Any], Sequence[Any]], list[Any]] = nothing_more
    by_hand: Callable[..., list[torch.Tensor]] | None = None
    kind: Kind = 'gradient'
    tolerance: float = 1e-4
    loss_of_nodes: Callable[..., Any] | None = None

    def eager(self, *given: torch.Tensor) -> list[torch.Tensor]:
        """Compute with eager PyTorch and its autograd."""
        moving = [x.detach().requires_grad_() for x in given[: self.by]]
        value = self.loss(*moving, *given[self.by :])
        if self.kind == 'gradient':
            grads = torch.autograd.grad(value, moving)
            with torch.no_grad():
                return [value.detach(), *self.finish(given, grads)]
        if self.kind == 'jacobian':
            return [_by_rows(value, moving)]
        (first,) = torch.autograd.grad(value, moving, create_graph=True)
        if self.kind == 'product':
            return [*torch.autograd.grad(torch.sum(first * given[-1]), moving)]
        return [_by_rows(first, moving)]

    def functional(self) -> Callable[..., list[torch.Tensor]]:
        """Return the computation by ``torch.func``."""
        if self.kind == 'gradient':
            both = torch.func.grad_and_value(self.loss, argnums=tuple(range(self.by)))

            def step(*given: torch.Tensor) -> list[torch.Tensor]:
                grads, value = both(*given)
                return [value, *self.finish(given, grads)]

            return step
        if self.kind == 'product':
            gradient = torch.func.grad(self.loss)

            def product(*given: torch.Tensor) -> list[torch.Tensor]:
                def along(x: torch.Tensor) -> torch.Tensor:
                    return gradient(x, *given[1:])

                return [torch.func.jvp(along, (given[0],), (given[-1],))[1]]

            return product
        whole = torch.func.hessian(self.loss) if self.kind == 'hessian' else torch.func.jacfwd(self.loss)
        return lambda *given: [whole(*given)]

    def nodes(self, given: Sequence[torch.Tensor]) -> tuple[list[ad.Node], list[ad.Node]]:
        """Return our variables and what is computed from them."""
        variables = [ad.Variable(f'x{i}', tuple(x.shape), x.dtype) for i, x in enumerate(given)]
        value, moving = (self.loss_of_nodes or self.loss)(*variables), variables[: self.by]
        if self.kind == 'gradient':
            return variables, [value, *self.finish(variables, ad.gradients(value, moving))]
        if self.kind == 'product':
            (first,) = ad.gradients(value, moving)
            return variables, ad.gradients(ad.sum(first * variables[-1]), moving)
        return variables, ad.hessians(value, moving)[0] if self.kind == 'hessian' else ad.jacobians(
            value, moving
        )


def _by_rows(value: torch.Tensor, moving: list[torch.Tensor]) -> torch.Tensor:
    """Return the Jacobian of a vector, row by row."""
    return torch.stack([torch.autograd.grad(row, moving, retain_graph=True)[0] for row in value])

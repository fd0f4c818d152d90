"""What a workload is: a loss, what it is differentiated by, and what is done with the gradients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

import adjoint as ad

__all__ = ['Workload', 'nothing_more', 'randn']


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
    order : int
        1 for the loss and its gradient; 2 for the gradient's product with the last tensor, differentiated;
        a Hessian is ``-2``.
    tolerance : float
        How far the results of peers may differ, relative to the largest entry.
    """

    name: str
    title: str
    make: Callable[[], list[torch.Tensor]]
    loss: Callable[..., Any]
    by: int
    finish: Callable[[Sequence[Any], Sequence[Any]], list[Any]] = nothing_more
    by_hand: Callable[..., list[torch.Tensor]] | None = None
    order: int = 1
    tolerance: float = 1e-4

    def eager(self, *given: torch.Tensor) -> list[torch.Tensor]:
        """Compute with eager PyTorch and its autograd."""
        moving = [x.detach().requires_grad_() for x in given[: self.by]]
        args = [*moving, *given[self.by :]]
        value = self.loss(*args)
        if self.order == 1:
            grads = torch.autograd.grad(value, moving)
            with torch.no_grad():
                return [value.detach(), *self.finish(given, grads)]
        (first,) = torch.autograd.grad(value, moving, create_graph=True)
        if self.order == 2:  # noqa: PLR2004 a product
            return [*torch.autograd.grad(torch.sum(first * given[-1]), moving)]
        rows = [torch.autograd.grad(row, moving, retain_graph=True)[0] for row in first]
        return [torch.stack(rows)]

    def functional(self) -> Callable[..., list[torch.Tensor]]:
        """Return the computation by ``torch.func``."""
        if self.order == 1:
            both = torch.func.grad_and_value(self.loss, argnums=tuple(range(self.by)))

            def step(*given: torch.Tensor) -> list[torch.Tensor]:
                grads, value = both(*given)
                return [value, *self.finish(given, grads)]

            return step
        gradient = torch.func.grad(self.loss)
        if self.order == 2:  # noqa: PLR2004 a product

            def product(*given: torch.Tensor) -> list[torch.Tensor]:
                def along(x: torch.Tensor) -> torch.Tensor:
                    return gradient(x, *given[1:])

                return [torch.func.jvp(along, (given[0],), (given[-1],))[1]]

            return product
        hessian = torch.func.hessian(self.loss)
        return lambda *given: [hessian(*given)]

    def nodes(self, given: Sequence[torch.Tensor]) -> tuple[list[ad.Node], list[ad.Node]]:
        """Return our variables and what is computed from them."""
        variables = [ad.Variable(f'x{i}', tuple(x.shape), x.dtype) for i, x in enumerate(given)]
        value, moving = self.loss(*variables), variables[: self.by]
        grads = ad.gradients(value, moving)
        if self.order == 1:
            return variables, [value, *self.finish(variables, grads)]
        if self.order == 2:  # noqa: PLR2004 a product
            return variables, ad.gradients(ad.sum(grads[0] * variables[-1]), moving)
        rows = [ad.gradients(grads[0][i], moving)[0] for i in range(given[0].numel())]
        return variables, [ad.stack(rows)]

"""Cases: masks."""

import torch

import adjoint as ad
from adjoint.ops.contraction import matmul_needs
from adjoint.ops.masks import any_like
from adjoint.verify.samples import sample
from tests.ops.case import Case, spread, t

_mask = torch.tensor([[True, False, False], [False, False, False]])


def _any_like(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Summed back to the sizes that both have."""
    shape = torch.broadcast_shapes(mask.shape, like.shape)
    sizes = like.shape[max(like.ndim - mask.ndim, 0) :]
    kept = [1 if m == 1 else n for m, n in zip(mask.shape[mask.ndim - len(sizes) :], sizes, strict=True)]
    return (mask != 0).expand(shape[len(shape) - mask.ndim :]).double().sum_to_size(kept) > 0


def _needed(mask: torch.Tensor, a: torch.Tensor, b: torch.Tensor, of: str) -> torch.Tensor:
    """From the gradient of the product of ones, which is not zero where an entry counts."""
    with torch.enable_grad():
        operands = [torch.ones_like(x).requires_grad_() for x in (a, b)]
        y = torch.where(mask != 0, torch.matmul(*operands), 0).sum()
        position = ('left', 'right').index(of)
        (found,) = torch.autograd.grad(y, operands[position])
    vector = operands[position].ndim == 1
    return (found != 0).any(-1 if of == 'left' or vector else -2, keepdim=True)


CASES: dict[str, Case] = {
    'any_like': Case(
        any_like,
        [
            sample(_mask, spread(2, 3)),
            sample(_mask, spread(3)),
            sample(_mask, spread(2, 1)),
            sample(_mask, t(0.5)),
            sample(_mask[0], spread(4, 2, 1)),
            sample(_mask[:, :1], spread(2, 3)),
            sample(torch.zeros(0, 3, dtype=torch.bool), spread(1, 3)),
            sample(t([[0.0, -0.5]]), spread(2), smooth=False),
        ],
        _any_like,
        refusals=[(sample(_mask, 'x'), ad.TensorTypeError, 'takes nodes')],
    ),
    'matmul_needs': Case(
        matmul_needs,
        [
            sample(mask, a, b, of=of, smooth=False)
            for of in ('left', 'right')
            for mask, a, b in (
                (_mask, spread(2, 4), spread(4, 3)),
                (_mask[:, :1], spread(2, 4), spread(4, 3)),
                (_mask[0], spread(2, 4), spread(4, 3)),
                (_mask.double(), spread(5, 2, 4), spread(4, 3)),
                (_mask, spread(2, 4), spread(5, 4, 3)),
                (_mask[:, None], spread(2, 5, 4), spread(2, 4, 3)),
                (_mask[0], spread(4), spread(4, 3)),
                (_mask[:, 0], spread(2, 4), spread(4)),
                (_mask.mT, spread(3, 4), spread(4, 2)),
                (_mask[0, 0], spread(4), spread(4)),
            )
        ],
        _needed,
    ),
}

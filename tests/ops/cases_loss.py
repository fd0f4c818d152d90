"""Cases of the losses that are ops."""

from typing import Any

import torch
import torch.nn.functional as F

import adjoint as ad
from adjoint import Node
from adjoint.ops import ctc, loss
from adjoint.verify.samples import sample
from tests.ops.case import Case, i, sized, spread, t

SCORES, ROW = spread(2, 4), spread(4, seed=1)
TARGETS = i([[1, 3, -1, 0], [2, -1, 0, 0]])
P, Q = spread(2, 3, low=0.13, high=0.87), spread(2, 3, low=0.11, high=0.93, seed=1)

LOGITS, LABELS = spread(5, 2, 3), i([[1, 2], [2, 2]])
FIT = LOGITS.log_softmax(-1)


def _margin_weights(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    x = x.detach().requires_grad_()
    (found,) = torch.autograd.grad(F.multilabel_margin_loss(x, target, reduction='sum'), x)
    return found


def _bce(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy(a, b, reduction='none')


def _ctc(x: Any, targets: Any, *rest: Any, **kwargs: Any) -> Node:
    return ctc.ctc_nll(ad.log_softmax(x, -1), targets, *rest, **kwargs)


def _ctc_by_torch(x: torch.Tensor, *rest: Any, **kwargs: Any) -> torch.Tensor:
    return F.ctc_loss(x.log_softmax(-1), *rest, reduction='none', **kwargs)


def _weights_by_torch(x: torch.Tensor, *rest: Any) -> torch.Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(F.ctc_loss(x, *rest, reduction='sum'), x)[0]


CASES: dict[str, Case] = {
    'binary_cross_entropy': Case(
        loss.binary_cross_entropy,
        [sample(P, Q), sample(P.mT, Q.mT), sample(spread(0, 2), spread(0, 2))],
        _bce,
    ),
    'multilabel_margin': Case(
        loss.multilabel_margin,
        [sample(SCORES, TARGETS), sample(ROW, TARGETS[0]), sample(SCORES[:, ::2], TARGETS[:, 2:] % 2)],
        lambda x, target: F.multilabel_margin_loss(x, target, reduction='none'),
        conventions=[(sample(t([1.0, 0.0]), i([0, -1]), smooth=False), (t([0.0, 0.0]),))],
    ),
    'multilabel_margin_weights': Case(
        loss.multilabel_margin_weights, [sample(SCORES, TARGETS), sample(ROW, TARGETS[0])], _margin_weights
    ),
    'ctc_nll': Case(
        _ctc,
        [
            sample(LOGITS, LABELS, [5, 4], [2, 1]),
            sample(LOGITS, i([1, 2, 2]), i([5, 4]), i([2, 1]), zero_infinity=True),
        ],
        _ctc_by_torch,
        order=1,
    ),
    'ctc_weights': Case(
        # It refuses to be differentiated.
        lambda targets, *lengths: ctc.ctc_weights(ad.constant(FIT), targets, *lengths),
        [sized(LABELS, [5, 4], [2, 1]), sample(i([1, 2, 2]), i([5, 4]), i([2, 1]))],
        lambda targets, *lengths: _weights_by_torch(FIT, targets, *lengths),
    ),
}

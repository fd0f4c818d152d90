"""Gradient clipping, as functions from graphs to graphs."""

from collections.abc import Sequence
from functools import reduce
from operator import add

import adjoint as ad


def clip_by_norm(gradients: Sequence[ad.Node], max_norm: float, eps: float = 1e-6) -> list[ad.Node]:
    """Scale gradients so that their norm, taken together, is not above a bound.

    Parameters
    ----------
    gradients : Sequence[ad.Node]
        Of any shapes.
    max_norm : float
        The bound, positive.
    eps : float, default 1e-6
        Added to the norm before it divides.

    Returns
    -------
    list[ad.Node]
        ``g * min(1, max_norm / (norm + eps))`` for each.

    Notes
    -----
    The norm is the root of the sum of the squares of all entries of all gradients. As
    ``torch.nn.utils.clip_grad_norm_``.

    References
    ----------
    R. Pascanu, T. Mikolov, Y. Bengio, On the difficulty of training RNNs, 2013.
    """
    if not gradients:
        return []
    factor = ad.clamp(max_norm / (global_norm(gradients) + eps), max=1.0)
    return [ad.sum_to_like(gradient * factor, gradient) for gradient in gradients]


def clip_by_value(gradients: Sequence[ad.Node], max_value: float) -> list[ad.Node]:
    """Bound each entry of gradients.

    Parameters
    ----------
    gradients : Sequence[ad.Node]
        Of any shapes.
    max_value : float
        The bound, positive.

    Returns
    -------
    list[ad.Node]
        ``clamp(g, -max_value, max_value)`` for each. As ``torch.nn.utils.clip_grad_value_``.
    """
    return [ad.clamp(gradient, -max_value, max_value) for gradient in gradients]


def global_norm(gradients: Sequence[ad.Node]) -> ad.Node:
    """Return the Euclidean norm of all entries of all gradients together.

    Parameters
    ----------
    gradients : Sequence[ad.Node]
        Of any shapes; one at least.

    Returns
    -------
    ad.Node
        0-d.
    """
    return ad.sqrt(reduce(add, [ad.sum(gradient * gradient) for gradient in gradients]))

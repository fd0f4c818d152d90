"""Logarithms of what overflows, underflows or is near 1; quotients of exponentials."""

import math

from adjoint.core.node import Node
from adjoint.ops.activation import log_sigmoid, log_softmax, sigmoid, softmax, softplus
from adjoint.ops.arithmetic import abs_, add, div, mul, neg, sub
from adjoint.ops.cumulative import prod
from adjoint.ops.determinant import det, slogdet
from adjoint.ops.exponential import exp, expm1, log, log1p
from adjoint.ops.linear import broadcast_to
from adjoint.ops.reduction import logsumexp, mean, sum_
from adjoint.ops.select import where
from adjoint.ops.special import log_ndtr, logaddexp, ndtr, xlogy
from adjoint.ops.step import ge, gt, sign
from adjoint.passes.facts import axis_of, constant_of, is_floating, one_plus, shape_of
from adjoint.passes.rewrite import ACCURATE, rewrite

__all__ = ['LOGARITHMS']


@rewrite(log, exactness=ACCURATE, examples=['log(softmax(x, 1))', 'log(softmax(x, 0))'])
def log_of_softmax(y: Node) -> Node | None:
    """``log(softmax(x))`` is ``log_softmax(x)``: no logarithm of what underflowed."""
    (p,) = y.inputs
    return log_softmax(p.inputs[0], p.attrs['dim']) if p.op is softmax else None


@rewrite(
    log,
    exactness=ACCURATE,
    examples=['log(sum(exp(x), 1))', 'log(sum(exp(x), 0, keepdim=True))', 'log(sum(exp(x)))'],
)
def log_of_sum_of_exp(y: Node) -> Node | None:
    """``log(sum(exp(x)))`` is ``logsumexp(x)``."""
    (total,) = y.inputs
    if total.op is not sum_ or total.inputs[0].op is not exp or not is_floating(total):
        return None
    return Node(total.inputs[0].inputs, logsumexp, total.attrs)


@rewrite(log, exactness=ACCURATE, examples=['log(mean(exp(x), 1))', 'log(mean(exp(x)))'])
def log_of_mean_of_exp(y: Node) -> Node | None:
    """``log(mean(exp(x)))`` is ``logsumexp(x)`` less the logarithm of the count."""
    (average,) = y.inputs
    if average.op is not mean or average.inputs[0].op is not exp or not is_floating(average):
        return None
    sizes, left = shape_of(average.inputs[0]), shape_of(average)
    if sizes is None or left is None or 'correction' in average.attrs or not math.prod(left):
        return None
    count = math.prod(sizes) // math.prod(left)
    return Node(average.inputs[0].inputs, logsumexp, average.attrs) - math.log(count) if count else None


@rewrite(log, exactness=ACCURATE, examples=['log(exp(x) + exp(y))', 'log(exp(x) + exp(row))'])
def log_of_two_exp(y: Node) -> Node | None:
    """``log(exp(a) + exp(b))`` is ``logaddexp(a, b)``."""
    (total,) = y.inputs
    if total.op is not add or len(total.inputs) == 1 or not is_floating(total):
        return None
    a, b = total.inputs
    return logaddexp(a.inputs[0], b.inputs[0]) if a.op is exp and b.op is exp else None


@rewrite(log, log1p, exactness=ACCURATE, examples=['log(1 + exp(x))', 'log(exp(-x) + 1.0)', 'log1p(exp(x))'])
def log_of_one_plus_exp(y: Node) -> Node | None:
    """``log(1 + exp(x))`` and ``log1p(exp(x))`` are ``softplus(x)``."""
    (a,) = y.inputs
    power = a if y.op is log1p else one_plus(a)
    fits = power is not None and power.op is exp and is_floating(y)
    return softplus(power.inputs[0]) if power is not None and fits else None


@rewrite(log, exactness=ACCURATE, examples=['log(1 - exp(-p))', 'log(-expm1(-p))'])
def log_of_one_minus_exp(y: Node) -> Node | None:
    """``log(1 - exp(x))`` is ``log(-expm1(x))`` near 0, and ``log1p(-exp(x))`` below ``-log(2)``."""
    (a,) = y.inputs
    x = _of_one_minus_exp(a)
    if x is None or not is_floating(y):
        return None
    # Each branch has an operand at which it is smooth where the other is chosen.
    is_near = gt(x, -math.log(2))
    near = log(-expm1(where(is_near, x, -1.0)))
    far = log1p(-exp(where(is_near, -1.0, x)))
    return where(is_near, near, far)


def _of_one_minus_exp(a: Node) -> Node | None:
    """Return ``x`` of ``1 - exp(x)``, also written ``-expm1(x)``, where it is no choice made here."""
    (b, *_) = a.inputs or [a]
    if a.op is sub and constant_of(a, 'left') == 1 and b.op is exp:
        return b.inputs[0]
    return b.inputs[0] if a.op is neg and b.op is expm1 and b.inputs[0].op is not where else None


@rewrite(
    log, exactness=ACCURATE, examples=['log(1 + x)', 'log(p + 1.0)', 'log(1 - x)', 'log(1 - softmax(x))']
)
def log_of_one_plus(y: Node) -> Node | None:
    """``log(1 + x)`` is ``log1p(x)``, and ``log(1 - x)`` is ``log1p(-x)``."""
    (a,) = y.inputs
    x = one_plus(a)
    return log1p(x) if x is not None and is_floating(x) else None


@rewrite(log, exactness=ACCURATE, examples=['log(sigmoid(x))', 'log(1 - sigmoid(x))'])
def log_of_sigmoid(y: Node) -> Node | None:
    """``log(sigmoid(x))`` is ``log_sigmoid(x)``, and ``log(1 - sigmoid(x))`` is ``log_sigmoid(-x)``."""
    (a,) = y.inputs
    if a.op is sigmoid and is_floating(a):
        return log_sigmoid(a.inputs[0])
    (b, *_) = a.inputs or [a]
    is_rest = a.op is sub and constant_of(a, 'left') == 1 and b.op is sigmoid and is_floating(a)
    return log_sigmoid(-b.inputs[0]) if is_rest else None


@rewrite(log, exactness=ACCURATE, examples=['log(ndtr(x))'])
def log_of_ndtr(y: Node) -> Node | None:
    """``log(ndtr(x))`` is ``log_ndtr(x)``."""
    (a,) = y.inputs
    return log_ndtr(a.inputs[0]) if a.op is ndtr and is_floating(a) else None


@rewrite(log, exactness=ACCURATE, examples=['log(exp(x))'])
def log_of_exp(y: Node) -> Node | None:
    """``log(exp(x))`` is ``x``, for real ``x``."""
    (a,) = y.inputs
    return a.inputs[0] if a.op is exp and is_floating(a.inputs[0]) else None


@rewrite(log, exactness=ACCURATE, examples=['log(det(A))'])
def log_of_det(y: Node) -> Node | None:
    """``log(det(A))`` is the logarithm that ``slogdet`` gives, and nan for a negative determinant.

    To a few units in the last place of the largest logarithm of a pivot.
    """
    (a,) = y.inputs
    if a.op is not det or not is_floating(a):
        return None
    of_sign, size = slogdet(a.inputs[0])
    return where(ge(of_sign, 0), size, math.nan)


@rewrite(log, exactness=ACCURATE, examples=['log(abs(det(A)))'])
def log_of_abs_of_det(y: Node) -> Node | None:
    """``log(abs(det(A)))`` is the logarithm that ``slogdet`` gives.

    To a few units in the last place of the largest logarithm of a pivot.
    """
    (a,) = y.inputs
    if a.op is not abs_ or a.inputs[0].op is not det or not is_floating(a):
        return None
    return slogdet(a.inputs[0].inputs[0])[1]


@rewrite(log, exactness=ACCURATE, examples=['log(prod(p, 1))', 'log(prod(x, 0))'])
def log_of_prod(y: Node) -> Node | None:
    """``log(prod(x))`` is ``sum(log(abs(x)))``, and nan where the product is negative.

    To a few units in the last place of the largest logarithm.
    """
    (a,) = y.inputs
    if a.op is not prod or not is_floating(a):
        return None
    (x,) = a.inputs
    is_negative = Node([sign(x)], prod, a.attrs)
    return where(ge(is_negative, 0), Node([log(abs_(x))], sum_, a.attrs), math.nan)


@rewrite(mul, exactness=ACCURATE, examples=['x * log(x)', 'log(p) * p'])
def times_own_log(y: Node) -> Node | None:
    """``x * log(x)`` is ``xlogy(x, x)``: its limit 0 at 0, where it was nan."""
    if len(y.inputs) == 1 or not is_floating(y):
        return None
    for x, other in (y.inputs, y.inputs[::-1]):
        if other.op is log and other.inputs[0] is x:
            return xlogy(x, x)
    return None


# -- quotients of exponentials -------------------------------------------------------------------


@rewrite(div, exactness=ACCURATE, examples=['1 / (1 + exp(-x))', '1.0 / (exp(x) + 1)'])
def one_over_one_plus_exp(y: Node) -> Node | None:
    """``1 / (1 + exp(x))`` is ``sigmoid(-x)``."""
    (a, *_) = y.inputs
    power = one_plus(a)
    fits = constant_of(y, 'left') == 1 and power is not None and power.op is exp and is_floating(y)
    return sigmoid(-power.inputs[0]) if power is not None and fits else None


@rewrite(div, exactness=ACCURATE, examples=['exp(x) / (1 + exp(x))', 'exp(-x) / (exp(-x) + 1.0)'])
def exp_over_one_plus_exp(y: Node) -> Node | None:
    """``exp(x) / (1 + exp(x))`` is ``sigmoid(x)``."""
    if len(y.inputs) == 1 or not is_floating(y):
        return None
    a, b = y.inputs
    return sigmoid(a.inputs[0]) if a.op is exp and one_plus(b) is a else None


@rewrite(
    div, exactness=ACCURATE, examples=['exp(x) / sum(exp(x), 1, keepdim=True)', 'exp(row) / sum(exp(row))']
)
def exp_over_sum_of_exp(y: Node) -> Node | None:
    """``exp(x) / sum(exp(x))`` along an axis is ``softmax(x)``.

    To a few units in the last place of the sum, which is 1; with an entry of infinity all are nan.
    """
    if len(y.inputs) == 1 or not is_floating(y):
        return None
    a, total = y.inputs
    total = total.inputs[0] if total.op is broadcast_to else total
    if a.op is not exp or total.op is not sum_ or total.inputs[0] is not a:
        return None
    dim = axis_of(total)
    return None if dim is None else softmax(a.inputs[0], dim)


LOGARITHMS = (
    log_of_softmax, log_of_sum_of_exp, log_of_mean_of_exp, log_of_two_exp, log_of_one_plus_exp,
    log_of_one_minus_exp, log_of_sigmoid, log_of_ndtr, log_of_exp, log_of_det, log_of_abs_of_det, log_of_prod,
    log_of_one_plus, times_own_log, one_over_one_plus_exp, exp_over_one_plus_exp, exp_over_sum_of_exp,
)  # fmt: skip

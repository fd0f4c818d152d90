"""Products in gradients of what is stable only as a whole: a cotangent over a value, times that value."""

from adjoint.core.node import Node
from adjoint.ops.activation import sigmoid, softmax
from adjoint.ops.arithmetic import div, mul
from adjoint.ops.exponential import exp
from adjoint.ops.linear import conj, expand_like
from adjoint.ops.reduction import sum_, unsum
from adjoint.passes.facts import axis_of, is_floating, one_plus
from adjoint.passes.rewrite import ACCURATE, rewrite

__all__ = ['QUOTIENTS']


def _quotient(y: Node) -> tuple[Node, Node, Node] | None:
    """Return ``ct``, ``a`` and ``b`` of ``(ct / a) * b``, in either order."""
    if len(y.inputs) == 1:
        return None
    for q, b in (y.inputs, y.inputs[::-1]):
        if q.op is div and len(q.inputs) > 1:
            ct, a = q.inputs
            # Rules conjugate what may be complex, which a softmax is not.
            return ct, a.inputs[0] if a.op is conj and a.inputs[0].op is softmax else a, b
    return None


@rewrite(
    mul,
    exactness=ACCURATE,
    examples=['softmax(x, 1) * (y / softmax(x, 1))', '(row / softmax(x, 1)) * softmax(x, 1)'],
)
def over_and_times_softmax(y: Node) -> Node | None:
    """``(ct / p) * p`` is ``ct`` where ``p`` is a softmax, also where it underflowed."""
    found = _quotient(y)
    if found is None:
        return None
    ct, a, b = found
    return expand_like(ct, a) if a is b and a.op is softmax else None


@rewrite(mul, exactness=ACCURATE, examples=['(y / sigmoid(x)) * (sigmoid(x) * (1 - sigmoid(x)))'])
def over_and_times_sigmoid(y: Node) -> Node | None:
    """``(ct / s) * (s * rest)`` is ``ct * rest`` where ``s`` is a sigmoid, also where it underflowed."""
    found = _quotient(y)
    if found is None:
        return None
    ct, a, b = found
    if a.op is not sigmoid or b.op is not mul or a not in b.inputs or len(b.inputs) == 1:
        return None
    rest = b.inputs[1] if b.inputs[0] is a else b.inputs[0]
    return expand_like(ct, a) * rest if is_floating(y) else None


@rewrite(mul, exactness=ACCURATE, examples=['(y / (1 + exp(x))) * exp(x)', 'exp(x) * (s / (exp(x) + 1))'])
def over_one_plus_times_exp(y: Node) -> Node | None:
    """``(ct / (1 + exp(x))) * exp(x)`` is ``ct * sigmoid(x)``: no infinity over infinity."""
    found = _quotient(y)
    if found is None:
        return None
    ct, a, b = found
    return ct * sigmoid(b.inputs[0]) if b.op is exp and one_plus(a) is b and is_floating(y) else None


@rewrite(
    mul,
    exactness=ACCURATE,
    examples=['Node([s / sum(exp(row)), exp(row)], unsum, reduction_attrs(None, False)) * exp(row)'],
)
def share_of_sum_of_exp(y: Node) -> Node | None:
    """``unsum(ct / sum(exp(x))) * exp(x)`` is ``unsum(ct) * softmax(x)``, along one axis."""
    if len(y.inputs) == 1 or not is_floating(y):
        return None
    for spread, e in (y.inputs, y.inputs[::-1]):
        if e.op is not exp or spread.op is not unsum or spread.inputs[0].op is not div:
            continue
        share, like = spread.inputs
        total = share.inputs[-1]
        dim = axis_of(total) if total.op is sum_ and total.inputs[0] is e and len(share.inputs) > 1 else None
        if dim is not None:
            return Node([share.inputs[0], like], unsum, spread.attrs) * softmax(e.inputs[0], dim)
    return None


QUOTIENTS = (
    over_and_times_softmax, over_and_times_sigmoid, over_one_plus_times_exp, share_of_sum_of_exp,
)  # fmt: skip

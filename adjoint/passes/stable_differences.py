"""Differences of nearly equal numbers, and roots of squares that overflow."""

from functools import reduce

from adjoint.core.node import Node
from adjoint.ops.activation import sigmoid
from adjoint.ops.arithmetic import abs_, add, div, mul, pow_, reciprocal, sqrt, square, sub
from adjoint.ops.distance import finite_norm, scaled_norm
from adjoint.ops.exponential import erf, erfc, exp, expm1
from adjoint.ops.moments import var
from adjoint.ops.reduction import mean, sum_
from adjoint.ops.special import ndtr
from adjoint.ops.trigonometric import cos, cosh, hypot, sin, sinh, tanh
from adjoint.passes.facts import constant_of, is_floating, squared
from adjoint.passes.rewrite import ACCURATE, rewrite

__all__ = ['COMPLEMENTS', 'DIFFERENCES']


def _less_one(y: Node) -> Node | None:
    """Return ``a`` of ``a - 1``."""
    number = y.attrs.get('constant')
    if y.op is sub:
        return y.inputs[0] if constant_of(y) == 1 else None
    return y.inputs[0] if y.op is add and number == -1 else None


def _from_one(y: Node) -> Node | None:
    """Return ``a`` of ``1 - a``."""
    return y.inputs[0] if y.op is sub and constant_of(y, 'left') == 1 else None


@rewrite(sub, add, exactness=ACCURATE, examples=['exp(x) - 1', '-1.0 + exp(x)'])
def exp_less_one(y: Node) -> Node | None:
    """``exp(x) - 1`` is ``expm1(x)``."""
    a = _less_one(y)
    return expm1(a.inputs[0]) if a is not None and a.op is exp and is_floating(y) else None


@rewrite(sub, exactness=ACCURATE, examples=['1 - exp(x)'])
def one_less_exp(y: Node) -> Node | None:
    """``1 - exp(x)`` is ``-expm1(x)``."""
    a = _from_one(y)
    return -expm1(a.inputs[0]) if a is not None and a.op is exp and is_floating(y) else None


@rewrite(sub, add, exactness=ACCURATE, examples=['1 - cos(x)', 'cos(x) - 1'])
def one_less_cos(y: Node) -> Node | None:
    """``1 - cos(x)`` is ``2 * sin(x / 2)**2``, and ``cos(x) - 1`` its negative."""
    a, factor = _from_one(y), 2
    if a is None:
        a, factor = _less_one(y), -2
    if a is None or a.op is not cos or not is_floating(y):
        return None
    return square(sin(a.inputs[0] * 0.5)) * factor


@rewrite(
    sub,
    exactness=ACCURATE,
    examples=[
        'mean(x * x, 1) - mean(x, 1) ** 2',
        'mean(x ** 2, 0, keepdim=True) - square(mean(x, 0, keepdim=True))',
    ],
)
def variance_by_difference(y: Node) -> Node | None:
    """``mean(x**2) - mean(x)**2`` is the mean of the squared deviations."""
    if len(y.inputs) == 1 or not is_floating(y):
        return None
    of_squares, of_mean = y.inputs
    centre = squared(of_mean)
    if of_squares.op is not mean or centre is None or centre.op is not mean:
        return None
    x = squared(of_squares.inputs[0])
    if (
        x is None
        or x is not centre.inputs[0]
        or of_squares.attrs != centre.attrs
        or 'correction' in centre.attrs
    ):
        return None
    return var(x, centre.attrs['dim'], centre.attrs['keepdim'], correction=0)


@rewrite(
    sqrt,
    pow_,
    exactness=ACCURATE,
    examples=['sqrt(x ** 2)', 'sqrt(x * x)', 'sqrt(square(x))', '(x * x) ** 0.5'],
)
def root_of_square(y: Node) -> Node | None:
    """``sqrt(x**2)`` is ``abs(x)``, for real ``x``."""
    (a, *_) = y.inputs
    x = squared(a) if _is_root(y) else None
    return abs_(x) if x is not None and is_floating(x) else None


# Longer sums of squares are left: they are norms, written out.
_TERMS = 8


@rewrite(
    sqrt,
    pow_,
    exactness=ACCURATE,
    examples=['sqrt(x ** 2 + y * y)', 'sqrt(square(x) + row ** 2)', 'sqrt(x * x + y * y + row * row)'],
)
def root_of_squares(y: Node) -> Node | None:
    """``sqrt(a**2 + b**2)`` is ``hypot(a, b)``, for real operands, and so on for more of them."""
    (total, *_) = y.inputs
    if not _is_root(y) or total.op is not add or not is_floating(y):
        return None
    terms = [total]
    while len(terms) <= _TERMS and terms[0].op is add and len(terms[0].inputs) > 1:
        terms[:1] = terms[0].inputs
    roots = [root for term in terms if (root := squared(term)) is not None]
    return reduce(hypot, roots) if 1 < len(roots) == len(terms) else None


@rewrite(
    sqrt,
    pow_,
    exactness=ACCURATE,
    examples=['sqrt(sum(x * x, 1))', 'sqrt(sum(x ** 2, 0, keepdim=True))', 'sum(square(x)) ** 0.5'],
)
def root_of_sum_of_squares(y: Node) -> Node | None:
    """``sqrt(sum(x**2))`` is the Euclidean norm, with the powers of 2 taken out of the squares."""
    (total, *_) = y.inputs
    x = squared(total.inputs[0]) if _is_root(y) and total.op is sum_ else None
    if x is None or not is_floating(x) or not is_floating(y):
        return None
    return scaled_norm(x, total.attrs['dim'], total.attrs['keepdim'])


@rewrite(
    finite_norm,
    exactness=ACCURATE,
    examples=['Node([x], vector_norm, {"ord": 2, **reduction_attrs(1, keepdim=False)})'],
)
def norm_of_any_size(y: Node) -> Node | None:
    """A Euclidean norm is computed without overflow and underflow."""
    (x,) = y.inputs
    fits = y.attrs['ord'] == 2 and is_floating(x)  # noqa: PLR2004 the order
    return scaled_norm(x, y.attrs['dim'], y.attrs['keepdim']) if fits else None


def _is_root(y: Node) -> bool:
    return y.op is sqrt or constant_of(y) == 0.5  # noqa: PLR2004 a root


@rewrite(div, mul, exactness=ACCURATE, examples=['(exp(x) - exp(-x)) / 2', '0.5 * (exp(x) - exp(-x))'])
def half_difference_of_exp(y: Node) -> Node | None:
    """``(exp(x) - exp(-x)) / 2`` is ``sinh(x)``."""
    (a, *_) = y.inputs
    halves = constant_of(y) == 2 if y.op is div else y.attrs.get('constant') == 0.5  # noqa: PLR2004 halved
    if not halves or a.op is not sub or len(a.inputs) == 1 or not is_floating(y):
        return None
    up, down = a.inputs
    fits = up.op is exp and down.op is exp and down.inputs[0].op.name == 'neg'
    return sinh(up.inputs[0]) if fits and down.inputs[0].inputs[0] is up.inputs[0] else None


DIFFERENCES = (
    exp_less_one, one_less_exp, one_less_cos, variance_by_difference, root_of_square, root_of_squares,
    root_of_sum_of_squares, norm_of_any_size,
    half_difference_of_exp,
)  # fmt: skip


# -- complements: they cost another function, where the difference reused a value ------------------


@rewrite(sub, exactness=ACCURATE, examples=['1 - sigmoid(x)'])
def one_less_sigmoid(y: Node) -> Node | None:
    """``1 - sigmoid(x)`` is ``sigmoid(-x)``."""
    a = _from_one(y)
    return sigmoid(-a.inputs[0]) if a is not None and a.op is sigmoid and is_floating(y) else None


@rewrite(sub, exactness=ACCURATE, examples=['1 - tanh(x) ** 2', '1 - square(tanh(x))'])
def one_less_square_of_tanh(y: Node) -> Node | None:
    """``1 - tanh(x)**2`` is ``(1 / cosh(x))**2``."""
    a = _from_one(y)
    root = None if a is None else squared(a)
    fits = root is not None and root.op is tanh and is_floating(y)
    return square(reciprocal(cosh(root.inputs[0]))) if root is not None and fits else None


@rewrite(sub, exactness=ACCURATE, examples=['1 - erf(x)', '1 - ndtr(x)'])
def one_less_erf(y: Node) -> Node | None:
    """``1 - erf(x)`` is ``erfc(x)``, and ``1 - ndtr(x)`` is ``ndtr(-x)``."""
    a = _from_one(y)
    if a is None or not is_floating(y):
        return None
    if a.op is erf:
        return erfc(a.inputs[0])
    return ndtr(-a.inputs[0]) if a.op is ndtr else None


COMPLEMENTS = (one_less_sigmoid, one_less_square_of_tanh, one_less_erf)

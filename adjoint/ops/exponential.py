"""Exponentials, logarithms, and the error function."""

import math

import torch

from adjoint.core.kink import pole
from adjoint.core.node import Node
from adjoint.ops.elementwise import Partial, Unary

__all__ = [
    'Erf',
    'Erfc',
    'Exp',
    'Exp2',
    'Expm1',
    'Log',
    'Log1p',
    'Log2',
    'Log10',
    'erf',
    'erfc',
    'exp',
    'exp2',
    'expm1',
    'log',
    'log1p',
    'log2',
    'log10',
]  # fmt: skip


class Exp(Unary):
    """The exponential."""

    formula = 'exp(x)'
    kernel = torch.exp

    def partial(self, y: Node, x: Node) -> Partial:
        return y


class Exp2(Unary):
    """2 to the power of ``x``."""

    formula = '2**x'
    kernel = torch.exp2

    def partial(self, y: Node, x: Node) -> Partial:
        return y * math.log(2)


class Expm1(Unary):
    """``exp(x) - 1``, accurate near 0."""

    formula = 'exp(x) - 1'
    kernel = torch.expm1

    def partial(self, y: Node, x: Node) -> Partial:
        return y + 1


class Log(Unary):
    """The natural logarithm; nan for negative real ``x``, ``-inf`` at 0."""

    formula = 'log(x)'
    kernel = torch.log
    kinks = (pole('x == 0', 'the derivative is infinite', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return 1 / x


class Log1p(Unary):
    """``log(1 + x)``, accurate near 0."""

    formula = 'log(1 + x)'
    kernel = torch.log1p
    kinks = (pole('x == -1', 'the derivative is infinite', lambda _, x: x == -1),)

    def partial(self, y: Node, x: Node) -> Partial:
        return 1 / (x + 1)


class Log2(Unary):
    """The logarithm to base 2."""

    formula = 'log(x)/log(2)'
    kernel = torch.log2
    kinks = (pole('x == 0', 'the derivative is infinite', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return 1 / (x * math.log(2))


class Log10(Unary):
    """The logarithm to base 10."""

    formula = 'log(x)/log(10)'
    kernel = torch.log10
    kinks = (pole('x == 0', 'the derivative is infinite', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return 1 / (x * math.log(10))


class Erf(Unary):
    """The error function."""

    formula = 'erf(x)'
    kernel = torch.erf

    def partial(self, y: Node, x: Node) -> Partial:
        return 2 / math.sqrt(math.pi) * exp(-(x * x))


class Erfc(Unary):
    """``1 - erf(x)``, accurate for large ``x``."""

    formula = 'erfc(x)'
    kernel = torch.erfc

    def partial(self, y: Node, x: Node) -> Partial:
        return -2 / math.sqrt(math.pi) * exp(-(x * x))


exp = Exp()
exp2 = Exp2()
expm1 = Expm1()
log = Log()
log1p = Log1p()
log2 = Log2()
log10 = Log10()
erf = Erf()
erfc = Erfc()

"""The errors of the package: one tree, each error also the built-in that callers expect."""

__all__ = [
    'AdjointError',
    'BudgetError',
    'ConvergenceError',
    'MissingInputError',
    'NoSuchAttribute',
    'NonDifferentiableError',
    'RuleError',
    'ShapeError',
    'TensorTypeError',
    'UnsupportedOpError',
]


class AdjointError(Exception):
    """Base of every error that the package raises on purpose."""


class BudgetError(AdjointError, MemoryError):
    """No run of a graph fits in the memory that it was given; the least that it gets by with is named."""


class ConvergenceError(AdjointError, ArithmeticError):
    """A solver returned no solution, or the linear system of an implicit derivative has none."""


class ShapeError(AdjointError, ValueError):
    """Sizes do not fit: operands of an op, or a value fed for a typed variable."""


class TensorTypeError(AdjointError, TypeError):
    """Something is not a tensor or node where one is wanted, or has the wrong dtype or device."""


class MissingInputError(AdjointError, ValueError):
    """A run lacks the values of one or more variables; all of them are named."""


class NonDifferentiableError(AdjointError, TypeError):
    """A derivative is asked for where none is defined or none is written."""


class RuleError(AdjointError, AssertionError):
    """A gradient rule broke its contract: wrong count, kind or shape of cotangents."""


class NoSuchAttribute(AdjointError, AttributeError, KeyError):
    """A node has neither this attribute nor an entry of that name in ``attrs``."""

    def __str__(self) -> str:
        # KeyError prints the repr of its argument, which would escape the line breaks of a message.
        return str(self.args[0]) if self.args else ''


class UnsupportedOpError(AdjointError, NotImplementedError):
    """An op, a torch function or an expression that the package does not know, by its name."""

"""Every case of the battery, by the name of its op; ``op/what`` is one more way to call it."""

from tests.ops import (
    cases_binary,
    cases_contraction,
    cases_creation,
    cases_index,
    cases_reduction,
    cases_shape,
    cases_unary,
)
from tests.ops.case import Case

__all__ = ['CASES', 'Case']

CASES: dict[str, Case] = {
    **cases_unary.CASES,
    **cases_binary.CASES,
    **cases_reduction.CASES,
    **cases_contraction.CASES,
    **cases_shape.CASES,
    **cases_index.CASES,
    **cases_creation.CASES,
}

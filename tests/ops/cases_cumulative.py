"""Cases: running sums, products and extremes."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

"""Cases: special functions."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

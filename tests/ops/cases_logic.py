"""Cases: bits, truth values, and tests of single entries: nothing flows."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

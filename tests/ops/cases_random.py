"""Cases: random values, drawn from a seed."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

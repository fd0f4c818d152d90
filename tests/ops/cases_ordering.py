"""Cases: sorting and positions by rank."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

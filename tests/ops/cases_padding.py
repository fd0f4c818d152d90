"""Cases: padding and windows."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

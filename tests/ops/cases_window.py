"""Cases: overlapping and strided views."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

"""Cases: writing at positions: scatter, put, fill."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

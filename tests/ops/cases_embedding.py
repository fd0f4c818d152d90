"""Cases: rows of a table, and bags of them."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

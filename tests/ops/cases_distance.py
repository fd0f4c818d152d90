"""Cases: norms and distances."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

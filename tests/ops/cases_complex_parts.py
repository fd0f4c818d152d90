"""Cases: complex numbers from their parts, and back."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

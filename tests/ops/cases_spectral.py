"""Cases: fourier transforms."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

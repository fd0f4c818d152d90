"""Cases: convolutions of every kind, and their adjoints."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

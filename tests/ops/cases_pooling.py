"""Cases: pooling: means and maxima over windows."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

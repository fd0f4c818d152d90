"""Cases: resampling: upsampling, grids, and their adjoints."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

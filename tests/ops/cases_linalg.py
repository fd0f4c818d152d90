"""Cases: linear algebra: solving, inverses, determinants, functions of matrices."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

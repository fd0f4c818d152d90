"""Cases: factorisations of matrices: Cholesky, QR, SVD, LU, eigenvalues."""

from tests.ops.case import Case

CASES: dict[str, Case] = {}

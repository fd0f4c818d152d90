"""Factorisations of matrices: Cholesky, QR, SVD, LU, eigenvalues."""

__all__: list[str] = []

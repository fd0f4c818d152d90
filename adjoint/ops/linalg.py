"""Linear algebra: solving, inverses, determinants, functions of matrices."""

__all__: list[str] = []

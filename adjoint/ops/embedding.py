"""Rows of a table, and bags of them."""

__all__: list[str] = []

"""Bits, truth values, and tests of single entries: nothing flows."""

__all__: list[str] = []

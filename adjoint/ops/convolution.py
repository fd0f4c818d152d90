"""Convolutions of every kind, and their adjoints."""

__all__: list[str] = []

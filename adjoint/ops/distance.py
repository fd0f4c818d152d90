"""Norms and distances."""

__all__: list[str] = []

"""Random values, drawn from a seed."""

__all__: list[str] = []

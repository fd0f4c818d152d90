"""Complex numbers from their parts, and back."""

__all__: list[str] = []

"""Writing at positions: scatter, put, fill."""

__all__: list[str] = []

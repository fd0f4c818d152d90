"""Running sums, products and extremes."""

__all__: list[str] = []

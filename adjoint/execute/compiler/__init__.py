"""A process of its own, which compiles; the rest of the package starts it, and imports nothing of it."""

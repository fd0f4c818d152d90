"""How values are put in messages."""

__all__ = ['bounded', 'described']

_LIMIT = 40


def bounded(text: str) -> str:
    """Return the text, cut to 40 characters."""
    return text if len(text) <= _LIMIT else text[: _LIMIT - 3] + '...'


def described(value: object) -> str:
    """Return a value as a message shows it: its text, cut, and its type."""
    return f'{bounded(repr(value))} of type {type(value).__name__}'

"""The words of an expression, and what can be wrong with them before any of it is understood.

Python's own parser reads the expression afterwards. It is told here first what it would say less
clearly: two values with nothing between them, an open bracket, a sign that is no part of the notation.
"""

import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from adjoint.core.errors import AdjointError

__all__ = ['ExpressionError', 'scan', 'suggestion']

_WIDTH = 68  # of the expression in a message, so that it fits a terminal of 80 columns

_WORDS = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)
      | (?P<name>[^\W\d]\w*)
      | (?P<sign>\*\*|//|==|!=|<=|>=|<<|>>|->|:=|.)
    )""",
    re.VERBOSE,
)

_OPERATORS = frozenset({'+', '-', '*', '/', '**'})

# Signs that are no part of the notation, and what to write instead.
_FORBIDDEN: Mapping[str, str] = MappingProxyType({
    '^': 'write ** for a power, as in x**2',
    '//': 'write floor(a/b)',
    '%': 'there is no remainder; write a - b*floor(a/b)',
    '@': 'expressions are of numbers, not of matrices',
    '=': 'write one expression, without a name for it or for an argument',
    ':=': 'write one expression, without a name for a part of it',
    '==': 'write eq(a, b)',
    '!=': 'write ne(a, b)',
    '<': 'write lt(a, b)',
    '>': 'write gt(a, b)',
    '<=': 'write le(a, b)',
    '>=': 'write ge(a, b)',
    '×': 'write *',
    '·': 'write *',
    '÷': 'write /',
    '−': 'write - (this one is the typographic minus)',
    '√': 'write sqrt(x)',
    '|': 'write abs(x)',
    '!': 'there is no factorial',
    '"': 'there are no strings in an expression',
    "'": 'there are no strings in an expression',
    '.': 'there are no attributes in an expression',
    ';': 'write one expression',
    ':': 'write one expression',
    '#': 'there are no comments in an expression',
    '[': 'group with ( ); there is no indexing',
    ']': 'group with ( ); there is no indexing',
    '{': 'group with ( )',
    '}': 'group with ( )',
})  # fmt: skip


class ExpressionError(AdjointError, ValueError):
    """An expression that cannot be read, with the place.

    Parameters
    ----------
    reason : str
        What is wrong.
    text : str
        The whole expression.
    start, end : int
        The place, as a range of characters.
    hint : str, optional
        The way out.
    """

    def __init__(self, reason: str, text: str, start: int, end: int, hint: str = '') -> None:
        super().__init__(reason, text, start, end, hint)
        self.reason, self.text, self.start, self.end, self.hint = reason, text, start, end, hint

    def __str__(self) -> str:
        """Render the reason, the expression with carets under the place, and the hint."""
        if not self.text:
            return f'{self.reason}: {self.hint}'
        text, start, end = _window(self.text, self.start, max(self.end, self.start + 1))
        lines = [self.reason, f'    {text}', f'    {" " * start}{"^" * (end - start)}']
        return '\n'.join([*lines, self.hint] if self.hint else lines)


@dataclass(frozen=True, slots=True)
class _Word:
    kind: str
    text: str
    start: int
    end: int


def scan(text: str) -> None:
    """Check that values and operators alternate and that brackets match.

    Parameters
    ----------
    text : str
        The expression, on one line.

    Raises
    ------
    ExpressionError
        At the first thing that is wrong.
    """
    opened: list[tuple[_Word, bool]] = []  # brackets, with whether each is that of a call
    previous: _Word | None = None
    before: _Word | None = None
    for word in _words(text):
        _check_word(word, text)
        follows_value = previous is not None and _ends_value(previous)
        if word.text == '(':
            opened.append((word, _is_call(previous, word, text)))
        elif word.text == ')':
            _check_closing(word, previous, before, opened, text)
            opened.pop()
        elif word.text == ',':
            _check_comma(word, opened, text, follows_value=follows_value)
        elif word.kind == 'sign':
            if not follows_value and word.text not in '+-':
                raise ExpressionError(f'a value is missing before {word.text!r}', text, word.start, word.end)
        elif follows_value:
            raise _missing_operator(previous, word, text)
        before, previous = previous, word
    _check_end(previous, opened, text)


def suggestion(close: list[str]) -> str:
    """``did you mean 'cos' or 'cosh'?``, or nothing."""
    return f'did you mean {" or ".join(repr(name) for name in close)}?' if close else ''


def _words(text: str) -> Iterator[_Word]:
    for match in _WORDS.finditer(text):
        kind = match.lastgroup or ''
        if kind:
            yield _Word(kind, match[kind], match.start(kind), match.end(kind))


def _check_word(word: _Word, text: str) -> None:
    if word.kind == 'name' and keyword.iskeyword(word.text):
        hint = 'write where(condition, a, b)' if word.text in {'if', 'else'} else ''
        raise ExpressionError(
            f'{word.text!r} is a word of Python, which has no meaning here',
            text, word.start, word.end, hint,
        )  # fmt: skip
    if word.kind == 'sign' and word.text not in _OPERATORS | {'(', ')', ','}:
        raise ExpressionError(
            f'{word.text!r} has no meaning in an expression',
            text, word.start, word.end, _FORBIDDEN.get(word.text, ''),
        )  # fmt: skip


def _is_call(previous: _Word | None, word: _Word, text: str) -> bool:
    """Whether an opening bracket is that of a call; if not, no value may stand before it."""
    if previous is None or not _ends_value(previous):
        return False
    if previous.kind != 'name':
        raise _missing_operator(previous, word, text)
    return True


def _check_closing(
    word: _Word,
    previous: _Word | None,
    before: _Word | None,
    opened: list[tuple[_Word, bool]],
    text: str,
) -> None:
    if not opened:
        raise ExpressionError(
            "this ')' closes nothing", text, word.start, word.end, "remove it, or add the '('"
        )
    if previous is None or _ends_value(previous):
        return
    if previous.text == '(':
        if not opened[-1][1]:
            raise ExpressionError('these brackets are empty', text, previous.start, word.end)
        if before is not None:
            raise ExpressionError(
                f'{before.text!r} is called without an argument', text, before.start, word.end
            )
    raise ExpressionError(
        f'a value is missing between {previous.text!r} and {word.text!r}',
        text, previous.start, word.end,
    )  # fmt: skip


def _check_comma(word: _Word, opened: list[tuple[_Word, bool]], text: str, *, follows_value: bool) -> None:
    if not opened or not opened[-1][1]:
        raise ExpressionError(
            "',' only parts the arguments of a function", text, word.start, word.end,
            'write a decimal point as in 0.5',
        )  # fmt: skip
    if not follows_value:
        raise ExpressionError("a value is missing before ','", text, word.start, word.end)


def _check_end(previous: _Word | None, opened: list[tuple[_Word, bool]], text: str) -> None:
    if previous is None:
        raise ExpressionError('the expression is empty', text, 0, 1, 'write one such as x**2 + 1')
    if opened:
        bracket = opened[-1][0]
        raise ExpressionError("this '(' is never closed", text, bracket.start, bracket.end, "add a ')'")
    if not _ends_value(previous):
        raise ExpressionError(
            f'the expression ends after {previous.text!r}, where a value is missing',
            text, len(text), len(text) + 1,
        )  # fmt: skip


def _missing_operator(previous: _Word | None, word: _Word, text: str) -> ExpressionError:
    first = previous or word
    return ExpressionError(
        f'an operator is missing between {first.text!r} and {word.text!r}',
        text, first.start, word.end,
        f'for a product write {first.text}*{word.text}' + ('...)' if word.text == '(' else ''),
    )  # fmt: skip


def _ends_value(word: _Word) -> bool:
    return word.kind != 'sign' or word.text == ')'


def _window(text: str, start: int, end: int) -> tuple[str, int, int]:
    """The part of a long line around the place, and the place in it."""
    if len(text) <= _WIDTH:
        return text, start, end
    left = min(max(0, start - _WIDTH // 2), len(text) - _WIDTH)
    shown = text[max(0, left) : left + _WIDTH]
    if left > 0:
        shown = '...' + shown[3:]
    if left + _WIDTH < len(text):
        shown = shown[:-3] + '...'
    return shown, start - left, min(end - left, _WIDTH)

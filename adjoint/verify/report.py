"""The report of a check: what was claimed, what was found, in words that a person can act on."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from adjoint.core.errors import RuleError

__all__ = ['WIDTH', 'Finding', 'Outcome', 'Report']

WIDTH = 98
"""No line of a report is longer."""

Outcome: TypeAlias = Literal['holds', 'fails', 'unreliable', 'skipped']
"""``unreliable``: the witness cannot tell; ``skipped``: there is no witness, or nothing to compare."""

# Beyond this many, failures are counted and not shown: the first ones say it.
_SHOWN = 12

_LABEL = 12


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one claim on one sample.

    Parameters
    ----------
    claim : str
        Which claim: ``value``, ``type``, ``structure``, ``gradient``, ``gradient, again``, ``partials``,
        ``agreement``, ``jvp``, ``precision``, ``conventions`` or ``refusal``; those on the gradient graph
        end with ``of order 2``.
    outcome : {'holds', 'fails', 'unreliable', 'skipped'}
        Whether it held.
    where : str
        Which sample.
    variables : str
        With which variables: ``untyped``, ``typed``, or ``named`` (typed, with names for sizes).
    subject : str
        Which input, output or node.
    entry : tuple of int, or None
        The entry that differs most.
    expected, got : str
        At that entry, or in words; of a skipped claim ``got`` is the reason.
    difference : float or None
        Between the two, as a distance.
    error, tolerance : float or None
        The largest difference relative to the size of what was compared, and what was allowed.
    hint : str
        What the pattern of the error suggests.
    """

    claim: str
    outcome: Outcome
    where: str
    variables: str = ''
    subject: str = ''
    entry: tuple[int, ...] | None = None
    expected: str = ''
    got: str = ''
    difference: float | None = None
    error: float | None = None
    tolerance: float | None = None
    hint: str = ''

    @property
    def ok(self) -> bool:
        """Whether the claim is not contradicted."""
        return self.outcome != 'fails'

    def __str__(self) -> str:
        """Return the finding in a few lines."""
        return self.shown([self.variables])

    def shown(self, variables: Sequence[str]) -> str:
        """Return it in a few lines, as found with all these kinds of variables."""
        verb = {'fails': 'FAILS', 'unreliable': 'cannot be decided'}.get(self.outcome, self.outcome)
        lines = _filled(f'{self.claim} {verb}: {self.where}', '')
        rows = [('variables', ', '.join(filter(None, variables))), ('at', self.subject)]
        if self.entry is not None:
            rows.append(('entry', str(list(self.entry)) if self.entry else 'the only one'))
        rows += [('expected', self.expected), ('got', self.got)]
        if self.difference is not None:
            rows.append(('difference', f'{self.difference:.3g}'))
        if self.error is not None and self.tolerance is not None:
            rows.append(('error', f'{self.error:.3g} of its size, allowed {self.tolerance:.3g}'))
        rows.append(('hint', self.hint))
        for label, text in rows:
            if text:
                lines += _filled(text, label)
        return '\n'.join(lines)


@dataclass(slots=True)
class Report:
    """All findings of a check; ``print`` shows them.

    Parameters
    ----------
    subject : str
        What was checked.
    rule : str
        Where its rule stands, if it is one op.
    findings : list of Finding
        In the order of the checks.
    culprits : list of str
        In a graph that fails: the rules that are wrong on their own, with the nodes where they are.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> report = ad.check_op(ad.sin, torch.tensor([0.5, 1.0]))
    >>> report.ok, report.failures
    (True, [])
    """

    subject: str
    rule: str = ''
    findings: list[Finding] = field(default_factory=list['Finding'])
    culprits: list[str] = field(default_factory=list[str])

    @property
    def ok(self) -> bool:
        """Whether no claim fails; a check that found nothing to check is not ok."""
        return any(f.outcome == 'holds' for f in self.findings) and not self.failures

    @property
    def failures(self) -> list[Finding]:
        """The claims that do not hold."""
        return [f for f in self.findings if f.outcome == 'fails']

    def of(self, outcome: Outcome) -> list[Finding]:
        """Return the findings of one outcome."""
        return [f for f in self.findings if f.outcome == outcome]

    def __str__(self) -> str:
        """Return a table of the claims, and then each failure."""
        lines = _filled(f'{self.subject}: {self._verdict()}', '')
        if self.rule:
            lines += _filled(self.rule, 'rule')
        lines.append('')
        for claim in dict.fromkeys(f.claim for f in self.findings):
            lines += _summary(claim, [f for f in self.findings if f.claim == claim])
        for culprit in self.culprits:
            lines += ['', *_filled(culprit, 'look at')]
        groups = list(_grouped([*self.failures, *self.of('unreliable')]))
        for alike in groups[:_SHOWN]:
            lines += ['', alike[0].shown([f.variables for f in alike])]
        if len(groups) > _SHOWN:
            lines += ['', f'and {len(groups) - _SHOWN} more']
        return '\n'.join(lines)

    def _verdict(self) -> str:
        if self.failures:
            return f'{len(self.failures)} of {len(self.findings)} checks FAIL'
        held, open_ = len(self.of('holds')), len(self.of('unreliable'))
        if open_:
            return f'{held} checks hold, {open_} cannot be decided'
        return f'all {held} checks hold' if held else 'nothing could be checked'

    def raise_if_failed(self) -> None:
        """Raise where a claim does not hold.

        Raises
        ------
        RuleError
            With the whole report as its message.
        """
        if not self.ok:
            raise RuleError(str(self))


def _grouped(findings: Iterable[Finding]) -> Iterable[list[Finding]]:
    """Put together what is the same with several kinds of variables."""
    groups: dict[tuple[Any, ...], list[Finding]] = {}
    for f in findings:
        key = f.claim, f.outcome, f.where, f.subject, f.entry, f.hint, f.error is None and f.got
        groups.setdefault(key, []).append(f)
    return groups.values()


def _summary(claim: str, findings: list[Finding]) -> list[str]:
    """One line for a claim, and one for each reason why a part of it was not checked."""
    checked = [f for f in findings if f.outcome != 'skipped']
    lines: list[str] = []
    if checked:
        held = sum(f.outcome == 'holds' for f in checked)
        worst = max((f.error for f in checked if f.error is not None), default=None)
        allowed = max((f.tolerance for f in checked if f.tolerance is not None), default=None)
        line = f'  {claim:<27} {held:>4} of {len(checked):<4} hold'
        if worst is not None and allowed is not None:
            line += f'   largest error {worst:.1e}, allowed {allowed:.1e}'
        lines.append(line)
    reasons = _counted(f.got for f in findings if f.outcome == 'skipped')
    for reason, count in reasons.items():
        text = f'{claim:<27} {count:>4} not checked: {reason}'
        lines += textwrap.wrap(text, WIDTH, initial_indent='  ', subsequent_indent=' ' * 35)
    return lines


def _counted(reasons: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    return counts


def _filled(text: str, label: str) -> list[str]:
    """Wrap a text behind its label; line breaks of the text stay."""
    indent = ' ' * (_LABEL + 2) if label else ''
    lines: list[str] = []
    for part in text.splitlines() or ['']:
        first = f'  {label:<{_LABEL}}' if label and not lines else indent
        if part.startswith(' '):
            # Source text, with carets under it: it is cut, since wrapping would tear them apart.
            lines.append((first + part)[:WIDTH])
        else:
            lines += textwrap.wrap(part, WIDTH, initial_indent=first, subsequent_indent=indent) or [first]
    return [line.rstrip() for line in lines]

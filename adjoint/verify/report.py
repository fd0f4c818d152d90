"""The report of a check: what was claimed, what was found, in words that a person can act on."""

from dataclasses import dataclass, field

from adjoint.core.errors import RuleError

__all__ = ['Finding', 'Report']

# Failures that are written out; they tend to have one cause.
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one claim on one sample.

    Parameters
    ----------
    claim : str
        Which claim: ``value``, ``type``, ``structure``, ``jvp``, ``gradient``, ``gradient, again``,
        ``partials``, ``second order``, ``conventions``, ``refusal``.
    ok : bool
        Whether it held.
    where : str
        Which sample, with which kind of variables.
    subject : str
        Which input or direction.
    entry : tuple of int, or None
        The entry that differs most.
    expected, got : str
        At that entry, or in words.
    error, tolerance : float or None
        The largest difference, relative to the size of what was compared, and what was allowed.
    hint : str
        What the pattern of the error suggests.
    """

    claim: str
    ok: bool
    where: str
    subject: str = ''
    entry: tuple[int, ...] | None = None
    expected: str = ''
    got: str = ''
    error: float | None = None
    tolerance: float | None = None
    hint: str = ''

    def __str__(self) -> str:
        """Return the finding in a few lines."""
        subject = f', {self.subject}' if self.subject else ''
        lines = [f'{self.claim}: {"holds" if self.ok else "FAILS"} at {self.where}{subject}']
        if self.entry is not None:
            lines.append(f'  entry     {list(self.entry) if self.entry else "(the only one)"}')
        if self.expected:
            lines.append(f'  expected  {self.expected}')
        if self.got:
            lines.append(f'  got       {self.got}')
        if self.error is not None and self.tolerance is not None:
            lines.append(f'  error     {self.error:.3g}, allowed {self.tolerance:.3g}')
        if self.hint:
            lines.append(f'  hint      {self.hint}')
        return '\n'.join(lines)


@dataclass(slots=True)
class Report:
    """All findings of a check.

    Parameters
    ----------
    subject : str
        What was checked, with the place of its rule.
    findings : list of Finding
        In the order of the checks.
    """

    subject: str
    findings: list[Finding] = field(default_factory=list['Finding'])

    @property
    def ok(self) -> bool:
        """Whether every claim held; a check that found nothing to check is not ok."""
        return bool(self.findings) and all(f.ok for f in self.findings)

    @property
    def failures(self) -> list[Finding]:
        """The claims that did not hold."""
        return [f for f in self.findings if not f.ok]

    def __str__(self) -> str:
        """Return a table of the claims, and then each failure."""
        lines = [self.subject, '']
        for claim in dict.fromkeys(f.claim for f in self.findings):
            own = [f for f in self.findings if f.claim == claim]
            held = sum(f.ok for f in own)
            worst = max((f.error for f in own if f.error is not None), default=None)
            figure = '' if worst is None else f'   largest error {worst:.1e}'
            lines.append(f'  {claim:<16} {held:>4} of {len(own):<4} hold{figure}')
        if not self.findings:
            lines.append('  nothing was checked')
        for failure in self.failures[:_SHOWN]:
            lines += ['', str(failure)]
        if len(self.failures) > _SHOWN:
            lines += ['', f'and {len(self.failures) - _SHOWN} more: see report.failures']
        return '\n'.join(lines)

    def raise_if_failed(self) -> None:
        """Raise where a claim does not hold.

        Raises
        ------
        RuleError
            With the whole report as its message.
        """
        if not self.ok:
            raise RuleError(str(self))

"""The claims of the battery: each compares what a rule says with a witness that did not use it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

import torch

from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import TensorType
from adjoint.ops.elementwise import Partial
from adjoint.ops.several import item, items, packed
from adjoint.verify import numeric
from adjoint.verify.blame import numeric_gradient, single_op
from adjoint.verify.compare import Comparison, compare, largest, recognised
from adjoint.verify.maps import Derivatives, inner, magnitude
from adjoint.verify.outcomes import Tolerances, found, recorded, skipped
from adjoint.verify.references import by_autograd, formula_partials, stated_partials
from adjoint.verify.report import Finding
from adjoint.verify.samples import has_derivative, is_true_of

__all__ = [
    'Witness', 'again', 'agreement', 'gradient', 'jvp', 'partials', 'precision', 'structure', 'types',
    'value',
]  # fmt: skip

# A value by a reference, and where it is known; or the reason why there is none.
Witness: TypeAlias = tuple[torch.Tensor, torch.Tensor] | str

# A derivative smaller than this part of its size by units is rounding.
_ROUNDING = 1e-2

_NODES = 200

# Of the usual step of differences, where it is too large.
_SHRINKS = (2.0**-3, 2.0**-6, 2.0**-9, 2.0**-12)


def value(d: Derivatives, tolerances: Tolerances, witness: Witness) -> Iterator[Finding]:
    """The value is that of the reference."""
    if isinstance(witness, str):
        yield skipped('value', d.map, witness)
        return
    expected, known = (t.cpu() for t in witness)
    got = d.outputs[0].cpu()
    tolerance = tolerances.at('value', d.eps)
    if got.shape == expected.shape:
        got, expected = torch.where(known, got, 0), torch.where(known, expected, 0)
    yield found('value', d.map, compare(got, expected, tolerance), tolerance)


def types(d: Derivatives, values: Mapping[Node, torch.Tensor]) -> Iterator[Finding]:
    """What is known of the type of a node before the run is true of its value."""
    sizes = d.map.sizes()
    for node, value in values.items():
        if node.type is not None and not is_true_of(node.type, value, sizes):
            computed = str(TensorType.of(value))
            yield recorded('type', d.map, False, f"node '{node}'", str(node.type), computed)
            return
    yield recorded('type', d.map, True)


def structure(d: Derivatives) -> Iterator[Finding]:
    """A rule returns a cotangent for each input, of its shape and dtype, or nothing where nothing flows."""
    if d.map.order == 1:
        inputs = set(d.map.inputs)
        order = topological_sort(d.map.outputs, behind=inputs)
        nodes = [n for n in order if n.inputs and n not in inputs and n.op is not item][:_NODES]
        wanted = list(dict.fromkeys([*nodes, *(x for n in nodes for x in n.inputs)]))
        values = dict(zip(wanted, d.run(wanted, d.map.feed()), strict=True))
        findings = [f for node in nodes for f in _structure_of(d, node, values)]
        yield from findings
        if not all(f.ok for f in findings):
            return  # the gradients made of these would say the same again
    for k, i in enumerate(d.map.moving):
        wrong = _unlike(d.pulled_values[k], d.map.values[i])
        yield recorded('structure', d.map, not wrong, d.map.named(i), *wrong)


def _structure_of(d: Derivatives, node: Node, values: Mapping[Node, Any]) -> Iterator[Finding]:
    """Compare what the rule of one node returns with what it owes."""
    value = values[node]
    outputs = items(node) if isinstance(value, tuple) else (node,)
    parts = cast('tuple[torch.Tensor, ...]', value if isinstance(value, tuple) else (value,))
    flows = any(has_derivative(part) for part in parts)
    seeds: dict[Node, torch.Tensor] = {}
    for output, part in zip(outputs, parts, strict=True):
        seed = torch.ones_like(part, dtype=None if has_derivative(part) else torch.float64)
        seeds[d.variable_for(output, seed, 'ct')] = seed
    ct = packed(list(seeds)) if isinstance(value, tuple) else next(iter(seeds))
    returned = node.op.gradient(node, ct)
    subject = f"node '{node}'"
    if not isinstance(returned, (list, tuple)) or len(returned) != len(node.inputs):  # pyright: ignore[reportUnnecessaryIsInstance] rules of users
        owed = f'a list of {len(node.inputs)} cotangents, one for each input'
        yield recorded('structure', d.map, False, subject, owed, repr(returned))
        return
    strange = [c for c in returned if not (c is None or isinstance(c, Node))]  # pyright: ignore[reportUnnecessaryIsInstance] same
    if strange:
        yield recorded('structure', d.map, False, subject, 'nodes, or None', repr(strange[0]))
        return
    if not (flows or any(has_derivative(values[x]) for x in node.inputs)):
        return  # integers from integers: nobody can ask for a derivative
    feed = {**d.map.feed(), **seeds}
    present = [c for c in returned if c is not None]
    computed = dict(zip(present, d.run(present, feed), strict=True))
    for i, (x, c) in enumerate(zip(node.inputs, returned, strict=True)):
        if c is None:
            continue
        where = f"{subject}, input {i}, '{x}'"
        wrong = _unlike(computed[c], values[x])
        if not wrong and not (flows and has_derivative(values[x])) and bool(computed[c].any()):
            wrong = 'None, or zeros: nothing flows here', f'a cotangent, {c}'
        yield recorded('structure', d.map, not wrong, where, *wrong)


def _unlike(got: torch.Tensor, wanted: torch.Tensor) -> tuple[str, ...]:
    """Say what was wanted and what came, or nothing where shape and dtype agree."""
    if got.shape == wanted.shape and got.dtype == wanted.dtype:
        return ()
    return str(TensorType.of(wanted)), str(TensorType.of(got)), recognised(got, wanted)


def again(d: Derivatives, tolerances: Tolerances) -> Iterator[Finding]:
    """The gradients are those of ``torch.autograd`` through the same computation."""
    of = d.map
    claim = 'gradient, again'
    if not d.seeds:
        yield skipped(claim, of, 'the value has no derivative')
        return
    cts = iter(d.seeds.values())
    aligned = [next(cts) if has_derivative(v) else None for v in d.outputs]
    moving = [of.inputs[i] for i in of.moving]
    try:
        expected = by_autograd(of.outputs, of.feed(), moving, aligned)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        yield skipped(claim, of, f'torch cannot record it: {_first_line(error)}')
        return
    for k, (i, wanted) in enumerate(zip(of.moving, expected, strict=True)):
        if wanted is None:
            yield skipped(claim, of, 'torch records nothing')
            continue
        got = d.pulled_values[k]
        tolerance = tolerances.at(claim, d.eps)
        comparison = compare(got, wanted, tolerance, _gradient_floor(d, i))
        hint = '' if comparison.ok else _swapped(d, k, expected) or recognised(got, wanted)
        yield found(claim, of, comparison, tolerance, of.named(i), hint)


def _swapped(d: Derivatives, k: int, expected: Sequence[torch.Tensor | None]) -> str:
    """Recognise the cotangent of another input."""
    for j, other in enumerate(expected):
        if j != k and other is not None and other.shape == d.pulled_values[k].shape:
            close = compare(d.pulled_values[k], other, 1e-6).ok
            if close and largest(other):
                return f'it is the cotangent of input {d.map.moving[j]}: they are swapped'
    return ''


def gradient(d: Derivatives, tolerances: Tolerances) -> Iterator[Finding]:
    """Reverse mode is the adjoint of forward mode: ⟨ct, J t⟩ = ⟨J* ct, t⟩."""
    of = d.map
    if not d.seeds:
        yield skipped('gradient', of, 'the value has no derivative')
        return
    tolerance = tolerances.at('gradient', d.eps)
    for k, (i, t) in enumerate(zip(of.moving, d.tangents.values(), strict=True)):
        pulled = d.pulled_values[k]
        if pulled.shape != t.shape:
            yield found('gradient', of, compare(pulled, t, tolerance), tolerance, of.named(i))
            continue
        pushed = [v for v in d.pushed_values([k]) if has_derivative(v)]
        forward, size = inner([*d.seeds.values()], pushed)
        backward, other_size = inner([pulled], [t])
        floor = max(size, other_size, _gradient_floor(d, i) * largest(t))
        comparison = compare(torch.tensor(backward), torch.tensor(forward), tolerance, floor)
        hint = ''
        if not comparison.ok:
            comparison, hint = _by_entries(d, k, comparison, tolerance)
        yield found('gradient', of, comparison, tolerance, of.named(i), hint)


def _by_entries(d: Derivatives, k: int, whole: Comparison, tolerance: float) -> tuple[Comparison, str]:
    """Say which entry of a gradient is not the adjoint, by pushing unit tangents one after the other."""
    t, pulled = [*d.tangents][k], d.pulled_values[k]
    if pulled.numel() > _NODES:
        return whole, ''
    units = [1.0, 1j] if pulled.is_complex() else [1.0]
    expected = torch.zeros_like(pulled).reshape(-1)
    for index in range(pulled.numel()):
        for unit in units:
            tangent = torch.zeros_like(expected)
            tangent[index].fill_(unit)
            pushed = d.pushed_values([k], {t: tangent.reshape(pulled.shape)})
            expected[index] += unit * inner([*d.seeds.values()], [v for v in pushed if has_derivative(v)])[0]
    wanted = expected.reshape(pulled.shape)
    by_entry = compare(pulled, wanted, tolerance, _gradient_floor(d, d.map.moving[k]))
    return (whole, '') if by_entry.ok else (by_entry, recognised(pulled, wanted))


def partials(d: Derivatives, tolerances: Tolerances) -> Iterator[Finding]:
    """The partials of an elementwise op are the derivatives of its formula."""
    node = single_op(d.map)
    stated = None if node is None or d.map.order > 1 else stated_partials(node)
    if node is None or stated is None:
        return
    if not d.map.smooth:
        yield skipped('partials', d.map, 'the function is not smooth here')
        return
    values = d.run(node.inputs, d.map.feed())
    expected = formula_partials(node, values)
    if expected is None:
        yield skipped('partials', d.map, 'the op states no formula, or one that is not analytic')
        return
    tolerance = tolerances.at('partials', d.eps)
    for i, (partial, (wanted, known)) in enumerate(zip(stated, expected, strict=True)):
        got = torch.where(known, _partial_value(d, partial, wanted), 0)
        comparison = compare(got, torch.where(known, wanted, 0), tolerance)
        hint = '' if comparison.ok else recognised(got, torch.where(known, wanted, 0))
        yield found('partials', d.map, comparison, tolerance, f'{i}', hint)


def _partial_value(d: Derivatives, partial: Partial, like: torch.Tensor) -> torch.Tensor:
    if isinstance(partial, Node):
        return d.run([partial], d.map.feed())[0].cpu().expand(like.shape)
    return torch.full_like(like, 0 if partial is None else partial)


def agreement(d: Derivatives, tolerances: Tolerances, first: Derivatives) -> Iterator[Finding]:
    """Values and derivatives do not depend on what is known of the types."""
    tolerance = tolerances.at('agreement', d.eps)
    everything = range(len(d.map.moving))
    pairs = [
        *zip(d.outputs, first.outputs, d.map.outputs, strict=True),
        *zip(d.pulled_values, first.pulled_values, [d.map.inputs[i] for i in d.map.moving], strict=True),
    ]
    if everything:
        pairs += zip(d.pushed_values(everything), first.pushed_values(everything), d.map.outputs, strict=True)
    for got, expected, node in pairs:
        comparison = compare(got, expected, tolerance)
        if got.dtype != expected.dtype:
            comparison = Comparison(False, expected=str(expected.dtype), got=str(got.dtype))
        if not comparison.ok:
            yield found('agreement', d.map, comparison, tolerance, f"'{node}'")
            return
    yield recorded('agreement', d.map, True)


def jvp(d: Derivatives, tolerances: Tolerances) -> Iterator[Finding]:
    """Forward mode is what five-point central differences along a random tangent give."""
    of = d.map
    if not of.smooth or not d.seeds:
        reason = 'the value has no derivative' if of.smooth else 'the function is not smooth here'
        yield skipped('jvp', of, reason)
        return
    for k, t in enumerate(d.tangents.values()):
        if not t.is_complex():
            yield _along(d, k, t, tolerances, '')
            continue
        yield _along(d, k, torch.complex(t.real, torch.zeros_like(t.real)), tolerances, ', real direction')
        imaginary = torch.complex(torch.zeros_like(t.imag), t.imag)
        yield _along(d, k, imaginary, tolerances, ', imaginary direction')
    if len(of.moving) > 1:
        yield _sum_of_parts(d, tolerances)


def _along(d: Derivatives, k: int, tangent: torch.Tensor, tolerances: Tolerances, direction: str) -> Finding:
    """Compare forward mode with differences along a tangent of one input."""
    of = d.map
    i = of.moving[k]
    node, at = of.inputs[i], of.values[i]
    got = _flat(d.pushed_values([k], {[*d.tangents][k]: tangent}))

    def moved(x: torch.Tensor) -> torch.Tensor:
        return _flat(d.run(of.outputs, {**of.feed(), node: x}))

    tolerance = tolerances.at('jvp', d.eps)
    floor = _ROUNDING * magnitude(d.outputs, [tangent], at)
    subject = of.named(i) + direction
    if not tangent.numel():
        return found('jvp', of, compare(got, torch.zeros_like(got), tolerance), tolerance, subject)
    differentiable = [v for v in d.outputs if has_derivative(v)]
    shape = differentiable[0].shape if len(differentiable) == 1 else got.shape
    estimate = numeric.estimate_directional(moved, at, tangent, method='five-point')
    comparison = compare(got.reshape(shape), estimate.value.reshape(shape), tolerance, floor)
    if not comparison.ok:
        estimate = _best(moved, at, tangent, estimate)
        comparison = compare(got.reshape(shape), estimate.value.reshape(shape), tolerance, floor)
    if comparison.ok:
        return found('jvp', of, comparison, tolerance, subject)
    doubt = _doubt(moved, at, tangent, estimate, comparison)
    if doubt:
        return found('jvp', of, comparison, tolerance, subject, doubt, unreliable=True)
    witness = numeric_gradient(d, k)
    hint = '' if witness is None else recognised(d.pulled_values[k], witness)
    return found('jvp', of, comparison, tolerance, subject, hint)


def _best(
    moved: Callable[[torch.Tensor], torch.Tensor],
    at: torch.Tensor,
    tangent: torch.Tensor,
    usual: numeric.Estimate,
) -> numeric.Estimate:
    """Return the best of the usual estimate and those with smaller steps.

    The usual step grows with the largest entry, on whose scale the function may vary much faster.
    """
    found = [usual]
    for shrink in _SHRINKS:
        closer = numeric.estimate_directional(
            moved, at, tangent, method='five-point', step=usual.step * shrink
        )
        found.append(closer)
    return min(found, key=lambda e: largest(e.error) if bool(e.error.isfinite().all()) else math.inf)


def _doubt(
    moved: Callable[[torch.Tensor], torch.Tensor],
    at: torch.Tensor,
    tangent: torch.Tensor,
    estimate: numeric.Estimate,
    comparison: Comparison,
) -> str:
    """Say why differences are no witness here, if they are not: large errors, or a kink."""
    error = largest(estimate.error)
    gap = comparison.difference
    if gap is None:
        return ''
    if not bool(estimate.value.isfinite().all()) or 20 * error >= gap:
        return f'two step sizes give differences that are {error:.2g} apart: no witness here'
    one_sided = [
        [numeric.directional(moved, at, tangent, method='forward', step=s) for s in (h, -h)]
        for h in (estimate.step / 8, estimate.step / 128)
    ]
    wide, close = (largest(forward - backward) for forward, backward in one_sided)
    if close > wide / 2 and close > gap / 2:
        return (
            f'the derivatives to the two sides are {close:.2g} apart: a kink. Take a sample away from '
            f'it, mark this one with smooth=False, and state what is meant as a convention'
        )
    return ''


def _sum_of_parts(d: Derivatives, tolerances: Tolerances) -> Finding:
    """Compare the push of all tangents at once with the sum of the single ones."""
    everything = range(len(d.map.moving))
    got = _flat(d.pushed_values(everything))
    parts = torch.stack([_flat(d.pushed_values([k])) for k in everything])
    tolerance = tolerances.at('gradient', d.eps)
    comparison = compare(got, parts.sum(0), tolerance, largest(parts))
    return found('jvp', d.map, comparison, tolerance, 'all inputs together, against one at a time')


def precision(d: Derivatives, wide: Derivatives, tolerances: Tolerances) -> Iterator[Finding]:
    """In a smaller dtype, value and gradients are those in double precision up to its rounding."""
    tolerance = tolerances['precision'] * d.eps
    for node, got, expected in zip(d.map.outputs, d.outputs, wide.outputs, strict=True):
        comparison = compare(got, expected, tolerance)
        yield found('precision', d.map, comparison, tolerance, f"value of '{node}'")
    for k, i in enumerate(d.map.moving):
        got, expected = d.pulled_values[k], wide.pulled_values[k]
        comparison = compare(got, expected, tolerance, _gradient_floor(wide, i))
        yield found('precision', d.map, comparison, tolerance, d.map.named(i))


def _gradient_floor(d: Derivatives, i: int) -> float:
    return _ROUNDING * magnitude(d.outputs, [*d.seeds.values()], d.map.values[i])


def _flat(values: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([v.reshape(-1) for v in values if has_derivative(v)])


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

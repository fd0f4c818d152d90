"""The claims of ``make opinfo`` on one operator: value, first and second order, forward mode, against torch.

Where torch's own derivative is wrong, and where values are drawn, finite differences are the witness.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _pytree as pytree

import adjoint as ad
from adjoint.autodiff.reverse import cotangents

__all__ = ['CLAIMS', 'DTYPES', 'Result', 'Trial', 'check', 'first_line', 'full_name', 'trial']

DTYPES = {'real': torch.float64, 'complex': torch.complex128}
CLAIMS = ('first', 'second', 'forward')

# Relative to the largest entry: in double precision, and where an operand is of single precision.
TOLERANCE, SINGLE_TOLERANCE = 1e-9, 2e-4

# Of finite differences, which are coarser.
SLOPE_TOLERANCE = 1e-6

# Where torch's second derivative is nan because its formula divides 0 by 0, which its own tests expect to
# fail: there ours has to be nan too (singular values that are equal), or else 0.
DECLARED = {'linalg.norm.subgradients_at_zero': 'where a vector norm is 0, all of its derivatives are 0'}


@dataclass
class Result:
    """What became of one operator with one dtype."""

    name: str
    kind: str
    claims: dict[str, str] = field(default_factory=dict)  # 'pass', 'unsupported', 'wrong', 'error'
    notes: dict[str, str] = field(default_factory=dict)
    samples: int = 0

    def record(self, claim: str, outcome: str, note: str = '') -> None:
        """Keep the worst outcome of a claim."""
        order = ['pass', 'unsupported', 'error', 'wrong']
        if claim not in self.claims or order.index(outcome) > order.index(self.claims[claim]):
            self.claims[claim] = outcome
            if note:
                self.notes[claim] = note


def full_name(op: Any) -> str:
    return op.name + (f'.{op.variant_test_name}' if op.variant_test_name else '')


def differs(
    got: torch.Tensor | None, wanted: torch.Tensor | None, like: torch.Tensor, tolerance: float = TOLERANCE
) -> str:
    """Say how far two tensors are apart, or nothing."""
    got = torch.zeros_like(like) if got is None else got
    wanted = torch.zeros_like(like) if wanted is None else wanted
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return f'{got.dtype}{list(got.shape)} instead of {wanted.dtype}{list(wanted.shape)}'
    if got.numel() == 0:
        return ''
    same = (got == wanted) | (got.isnan() & wanted.isnan())
    if bool(same.all()):
        return ''
    finite = wanted[wanted.isfinite()]
    scale = max(float(finite.abs().max()) if finite.numel() else 0.0, 1.0)
    apart = torch.where(same, 0, (got - wanted).abs())
    worst = float(apart.nan_to_num(nan=float('inf')).max())
    return '' if worst <= tolerance * scale else f'off by {worst:.3g} of {scale:.3g}'


def has_derivative(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex())


@dataclass
class Trial:
    """One sample: a function of its differentiable tensors."""

    function: Callable[..., list[torch.Tensor]]
    inputs: list[torch.Tensor]

    @property
    def tolerance(self) -> float:
        """What is allowed, relative to the largest entry."""
        is_single = any(x.dtype in {torch.float32, torch.complex64} for x in self.inputs)
        return SINGLE_TOLERANCE if is_single else TOLERANCE


def trial(op: Any, sample: Any) -> Trial | None:
    """The operator on a sample, as a function of the tensors that require a gradient."""
    tree = (sample.input, sample.args, sample.kwargs)
    leaves, structure = pytree.tree_flatten(tree)
    places = [i for i, v in enumerate(leaves) if has_derivative(v) and v.requires_grad]
    if not places or any(isinstance(v, torch.Tensor) and v.layout != torch.strided for v in leaves):
        return None
    others = [i for i, v in enumerate(leaves) if isinstance(v, torch.Tensor) and i not in places]

    def function(*tensors: torch.Tensor) -> list[torch.Tensor]:
        filled = list(leaves)
        for place, tensor in zip([*places, *others], tensors, strict=True):
            filled[place] = tensor
        first, args, kwargs = pytree.tree_unflatten(filled, structure)
        # What torch differentiates too: of Hermitian matrices, for one.
        result = op.gradcheck_wrapper(op.get_op(), first, *args, **kwargs)
        if sample.output_process_fn_grad is not None:
            result = sample.output_process_fn_grad(result)
        return [v for v in pytree.tree_leaves(result) if isinstance(v, torch.Tensor)]

    inputs = [leaves[i].detach().requires_grad_() for i in places]
    return Trial(function, inputs + [leaves[i].detach() for i in others])


def drawn(like: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(like.shape, dtype=like.dtype, generator=generator)


def by_torch(
    outputs: Sequence[torch.Tensor],
    inputs: Sequence[torch.Tensor],
    cts: Sequence[torch.Tensor],
    *,
    again: bool,
) -> list[torch.Tensor | None]:
    pairs = [(o, c) for o, c in zip(outputs, cts, strict=True) if o.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    return list(
        torch.autograd.grad(
            [o for o, _ in pairs], inputs, [c for _, c in pairs], create_graph=again, allow_unused=True
        )
    )


def check(op: Any, kind: str, limit: int) -> Result:
    """Run all claims on all samples of an operator."""
    result = Result(full_name(op), kind)
    samples = op.sample_inputs('cpu', DTYPES[kind], requires_grad=True)
    for sample in itertools.islice(samples, limit):
        made = trial(op, sample)
        if made is None:
            continue
        result.samples += 1
        on_sample(op, made, result, f'sample {result.samples - 1}')
    return result


@dataclass
class Import:
    """A sample imported: its nodes, and what they are fed with."""

    graph: ad.Graph
    moving: list[ad.Node]
    flowing: list[ad.Node]
    feed: dict[ad.Node, torch.Tensor]
    cts: dict[ad.Node, torch.Tensor]

    @classmethod
    def of(cls, made: Trial) -> 'Import':
        """Import the function of a sample, with random cotangents."""
        values = [x.detach() for x in made.inputs]
        graph = ad.from_torch(made.function, *values)
        feed = graph.feed(*values)
        flowing = [
            n
            for n, v in zip(graph.outputs, ad.Evaluator(graph.outputs).run(feed), strict=True)
            if has_derivative(v)
        ]
        cts: dict[ad.Node, torch.Tensor] = {}
        for i, value in enumerate(ad.Evaluator(flowing).run(feed)):
            cts[ad.Variable(f'ct{i}', tuple(value.shape), value.dtype)] = drawn(value, i)
        moving = [v for v, x in zip(graph.variables, made.inputs, strict=True) if x.requires_grad]
        return cls(graph, moving, flowing, {**feed, **cts}, cts)

    @property
    def is_random(self) -> bool:
        """Whether values are drawn, so that those of torch are others."""
        return any(
            type(n.op).__module__ == 'adjoint.ops.random' for n in ad.topological_sort(self.graph.outputs)
        )

    def gradients(self) -> list[ad.Node | None]:
        return cotangents(summed(self.flowing, list(self.cts)), self.moving)

    def slope(
        self, nodes: Sequence[ad.Node], cts: Sequence[torch.Tensor], ts: Sequence[torch.Tensor]
    ) -> float:
        """The derivative of the inner product of nodes with cotangents, along tangents, by differences."""
        evaluator = ad.Evaluator(nodes)

        def at(step: float) -> float:
            moved = {v: self.feed[v] + step * t for v, t in zip(self.moving, ts, strict=True)}
            return inner(evaluator.run({**self.feed, **moved}), cts)

        h = 1e-4
        return (at(-2 * h) - 8 * at(-h) + 8 * at(h) - at(2 * h)) / (12 * h)


def inner(a: Sequence[torch.Tensor | None], b: Sequence[torch.Tensor | None]) -> float:
    """The real inner product of two lists of tensors; 0 times anything is 0."""
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    return sum(float((torch.where(y == 0, 0, x).conj() * y).real.sum()) for x, y in pairs)


def agrees_by_differences(
    own: Import, found: Sequence[torch.Tensor | None], nodes: Sequence[ad.Node], cts: Sequence[torch.Tensor]
) -> bool:
    """Whether gradients are those that differences of our own values show, along a few directions."""
    for seed in range(3):
        ts = [drawn(own.feed[v], 300 + 10 * seed + i) for i, v in enumerate(own.moving)]
        wanted, got = own.slope(nodes, cts, ts), inner(found, ts)
        if not abs(wanted - got) <= SLOPE_TOLERANCE * max(1.0, abs(wanted)):
            return False
    return True


def on_sample(op: Any, made: Trial, result: Result, where: str) -> None:  # noqa: C901 one claim after the other
    """Record what becomes of the claims on one sample."""
    moving = [x for x in made.inputs if x.requires_grad]
    try:
        outputs = made.function(*made.inputs)
        flowing = [o for o in outputs if has_derivative(o)]
        wanted = by_torch(
            flowing, moving, [drawn(o, i) for i, o in enumerate(flowing)], again=op.supports_gradgrad
        )
    except Exception as error:  # noqa: BLE001 whatever it is, it is recorded
        result.notes.setdefault('torch', f'{where}: torch raises {first_line(error)}')
        return
    try:
        own = Import.of(made)
        grads = own.gradients()
        values = ad.Evaluator(own.graph.outputs).run(own.feed)
        computed = evaluated(grads, own.feed)
    except Exception as error:  # noqa: BLE001 whatever it is, it is recorded
        outcome = 'unsupported' if isinstance(error, ad.AdjointError) else 'error'
        for claim in CLAIMS:
            if claims_of(op, claim):
                result.record(claim, outcome, f'{where}: {type(error).__name__} {first_line(error)}')
        return
    if own.is_random:
        # A draw by given parameters has no derivative by them in torch, where differences show one.
        agrees = not compared(computed, wanted, moving, made.tolerance)
        agrees = agrees or agrees_by_differences(own, computed, own.flowing, list(own.cts.values()))
        result.notes['random'] = 'values are drawn: differences are the witness'
        for claim in CLAIMS:
            if claims_of(op, claim):
                result.record(
                    claim, 'pass' if agrees else 'wrong', '' if agrees else f'{where}: random, by differences'
                )
        return
    for i, (got, want) in enumerate(zip(values, outputs, strict=True)):
        if wrong := differs(got, want.detach(), want, made.tolerance):
            result.record('first', 'wrong', f'{where}: value {i} {wrong}')
            return
    wrong = compared(computed, wanted, moving, made.tolerance)
    if wrong and agrees_by_differences(own, computed, own.flowing, list(own.cts.values())):
        result.notes['differences'] = f'{where}: torch is wrong by differences: {wrong}'
        wrong = ''
        wanted = [None if g is None else w for g, w in zip(computed, wanted, strict=True)]
    result.record('first', 'wrong' if wrong else 'pass', f'{where}: gradient {wrong}')
    if op.supports_gradgrad:
        second(made, own, result, where, grads, wanted)
    if op.supports_forward_ad:
        forward(made, own, result, where, moving)


def compared(
    found: Sequence[torch.Tensor | None],
    wanted: Sequence[torch.Tensor | None],
    like: Sequence[torch.Tensor],
    tolerance: float,
) -> str:
    """Say where two lists of gradients are apart, or nothing."""
    for i, (got, want, x) in enumerate(zip(found, wanted, like, strict=True)):
        if wrong := differs(got, None if want is None else want.detach(), x, tolerance):
            return f'{i} {wrong}'
    return ''


def summed(nodes: Sequence[ad.Node], cts: Sequence[ad.Node]) -> dict[ad.Node, ad.Node]:
    """Seeds for nodes, of which one may stand there twice."""
    seeds: dict[ad.Node, ad.Node] = {}
    for n, c in zip(nodes, cts, strict=True):
        seeds[n] = seeds[n] + c if n in seeds else c
    return seeds


def claims_of(op: Any, claim: str) -> bool:
    return {'first': True, 'second': op.supports_gradgrad, 'forward': op.supports_forward_ad}[claim]


def evaluated(
    nodes: Sequence[ad.Node | None], feed: dict[ad.Node, torch.Tensor]
) -> list[torch.Tensor | None]:
    values = iter(ad.Evaluator([n for n in nodes if n is not None]).run(feed))
    return [None if n is None else next(values) for n in nodes]


def second(
    made: Trial,
    own: Import,
    result: Result,
    where: str,
    grads: Sequence[ad.Node | None],
    firsts: Sequence[torch.Tensor | None],
) -> None:
    """The gradient of the inner product of the gradients with random numbers."""
    moving = [x for x in made.inputs if x.requires_grad]
    seeds = [None if g is None else drawn(g, 100 + i) for i, g in enumerate(firsts)]
    pairs = [
        (g, s)
        for g, s in zip(firsts, seeds, strict=True)
        if g is not None and s is not None and g.requires_grad
    ]
    try:
        wanted: Sequence[torch.Tensor | None] = [None] * len(moving)
        if pairs:
            wanted = torch.autograd.grad(
                [g for g, _ in pairs], moving, [s for _, s in pairs], allow_unused=True, retain_graph=True
            )
    except Exception as error:  # noqa: BLE001 whatever it is, it is recorded
        result.notes.setdefault('torch', f'{where}: second order: torch raises {first_line(error)}')
        return
    chosen = [(g, s) for g, s in zip(grads, seeds, strict=True) if g is not None and s is not None]
    nodes = [ad.Variable(f'v{i}', tuple(s.shape), s.dtype) for i, (_, s) in enumerate(chosen)]
    feed = {**own.feed, **{v: s for v, (_, s) in zip(nodes, chosen, strict=True)}}
    try:
        seeded = summed([g for g, _ in chosen], nodes)
        found = evaluated(cotangents(seeded, own.moving), feed) if chosen else [None] * len(moving)
    except Exception as error:  # noqa: BLE001 whatever it is, it is recorded
        outcome = 'unsupported' if isinstance(error, ad.AdjointError) else 'error'
        result.record('second', outcome, f'{where}: {type(error).__name__} {first_line(error)}')
        return
    if result.name in DECLARED and any(w is not None and w.isnan().any() for w in wanted):
        result.notes['declared'] = f'second order: torch gives nan; ours: {DECLARED[result.name]}'
        pairs = zip(wanted, found, strict=True)
        wanted = [
            w if w is None or f is None else torch.where(f.isnan(), w, w.nan_to_num(0.0)) for w, f in pairs
        ]
    wrong = compared(found, wanted, moving, made.tolerance)
    if wrong and chosen and agrees_by_differences(own, found, [g for g, _ in chosen], [s for _, s in chosen]):
        result.notes['differences'] = f'{where}: second order: torch is wrong by differences: {wrong}'
        wrong = ''
    result.record('second', 'wrong' if wrong else 'pass', f'{where}: second {wrong}')


def forward(made: Trial, own: Import, result: Result, where: str, moving: Sequence[torch.Tensor]) -> None:
    """The tangents of the results along random tangents of the inputs."""
    fwd = torch.autograd.forward_ad
    ts = [drawn(x, 200 + i) for i, x in enumerate(moving)]
    try:
        with fwd.dual_level():
            duals = [fwd.make_dual(x.detach(), t) for x, t in zip(moving, ts, strict=True)]
            outputs = [o for o in made.function(*duals, *made.inputs[len(moving) :]) if has_derivative(o)]
            tangents = [fwd.unpack_dual(o).tangent for o in outputs]
            wanted = [None if w is None else w.clone() for w in tangents]
    except Exception as error:  # noqa: BLE001 whatever it is, it is recorded
        result.notes.setdefault('torch', f'{where}: forward: torch raises {first_line(error)}')
        return
    try:
        variables = [ad.Variable(f't{i}', tuple(t.shape), t.dtype) for i, t in enumerate(ts)]
        moved = ad.pushforward(own.flowing, dict(zip(own.moving, variables, strict=True)))
        found = evaluated(moved, {**own.feed, **dict(zip(variables, ts, strict=True))})
        primal = ad.Evaluator(own.flowing).run(own.feed)
    except Exception as error:  # noqa: BLE001 whatever it is, it is recorded
        outcome = 'unsupported' if isinstance(error, ad.AdjointError) else 'error'
        result.record('forward', outcome, f'{where}: {type(error).__name__} {first_line(error)}')
        return
    wrong = compared(found, wanted, primal, made.tolerance)
    if wrong:
        # Differences say nothing where the value is infinite or nan.
        cts = [torch.where(y.isfinite(), ct, 0) for y, ct in zip(primal, own.cts.values(), strict=True)]
        slope = own.slope(own.flowing, cts, ts)
        if abs(slope - inner(found, cts)) <= SLOPE_TOLERANCE * max(1.0, abs(slope)):
            result.notes['differences'] = f'{where}: forward: torch is wrong by differences: {wrong}'
            wrong = ''
    result.record('forward', 'wrong' if wrong else 'pass', f'{where}: tangent {wrong}')


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:260] if lines else type(error).__name__

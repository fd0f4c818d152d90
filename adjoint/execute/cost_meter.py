"""Runs of single steps on tensors without data, which show what they cost and where their values lie."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from adjoint.core.node import Node
from adjoint.execute.cost import Cost
from adjoint.execute.cost_tables import Call, flops_of, moved_by, workspace_of
from adjoint.execute.facts import Fact, layout_of

__all__ = ['Look', 'Meter', 'Place', 'Prober', 'Seen', 'frozen']

# The layout of a value before it exists; of an op with several outputs that of each.
Look: TypeAlias = Fact | tuple[Fact | None, ...]

# Where an entry of a value lies: in that of an operand (which one, and which entry of it), in new memory (by
# its number), or in memory that is there in any case.
Place: TypeAlias = tuple[int, int] | int | None


class Seen(NamedTuple):
    """What a run of one step showed.

    Parameters
    ----------
    look : Look
        Of its value.
    places : tuple of Place
        Where each entry of the value lies.
    fresh : tuple of int
        The bytes of each new memory that the value lies in.
    peak : int
        The most bytes that the step takes at once, beside what there was before; those of its value are
        among them.
    cost : Cost
        Of its kernels.
    """

    look: Look
    places: tuple[Place, ...]
    fresh: tuple[int, ...]
    peak: int
    cost: Cost

    @property
    def shares(self) -> tuple[int, ...]:
        """Positions of the operands whose memory the value lies in."""
        return tuple(sorted({place[0] for place in self.places if isinstance(place, tuple)}))


class Meter(TorchDispatchMode):
    """Counts what the kernels inside the block do, and the memory of the tensors that they make."""

    def __init__(self) -> None:
        super().__init__()
        self.cost = Cost()
        self.live = 0
        self.peak = 0
        self._watched: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a kernel and count it."""
        # A draw asks for its generator, which tensors without data have no use for.
        given = {name: value for name, value in (kwargs or {}).items() if name != 'generator'}
        value = func(*args, **given)
        call = Call(func, args, given, value)
        results = call.results
        if not results:  # a question, such as that for the device
            return value
        inside = workspace_of(call)
        if not func.is_view:
            for y in results:
                self._watch(y)
            self.cost = self.cost.plus(Cost(flops_of(call), moved_by(call), 1))
        self.peak = max(self.peak, self.live + inside)
        return value

    def add(self, cost: Cost, peak: int) -> None:
        """Count what was measured before: its cost, and the most bytes that it takes at once."""
        self.cost = self.cost.plus(cost)
        self.peak = max(self.peak, self.live + peak)

    def given(self, tensors: Sequence[torch.Tensor]) -> None:
        """Leave the memory of these out."""
        for x in tensors:
            storage = x.untyped_storage()
            self._watched[_identity(x)] = weakref.ref(storage)

    def _watch(self, y: torch.Tensor) -> None:
        storage = y.untyped_storage()
        key = _identity(y)
        if key in self._watched:
            return
        size = storage.nbytes()
        self.live += size

        def freed(_: object) -> None:
            self.live -= size
            self._watched.pop(key, None)

        self._watched[key] = weakref.ref(storage, freed)


class Prober:
    """Runs steps on tensors without data; one that looks like an earlier one is not run again."""

    def __init__(self) -> None:
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._seen: dict[Any, Seen] = {}

    def tensor(self, fact: Fact) -> torch.Tensor:
        """Return a tensor without data of a layout."""
        with self._mode:
            return torch.empty_strided(fact.shape, fact.strides, dtype=fact.dtype, device=fact.device)

    def seen(self, key: Any, run: Callable[[Sequence[Any]], Any], looks: Sequence[Look | None]) -> Seen:
        """Run a step, unless one of the same key and operands was run.

        Parameters
        ----------
        key : hashable
            What the step does.
        run : callable
            Computes the value from a list of its operands.
        looks : sequence of Look or None
            Of the operands; ``None`` for one that is not used.
        """
        whole = (key, tuple(looks))
        found = self._seen.get(whole)
        if found is None:
            found = self._seen[whole] = self._run(run, looks)
        return found

    def _run(self, run: Callable[[Sequence[Any]], Any], looks: Sequence[Look | None]) -> Seen:
        meter = Meter()
        with torch.no_grad(), self._mode:
            operands = [self._operand(look) for look in looks]
            homes = {
                _identity(x): (i, k)
                for i, operand in enumerate(operands)
                for k, x in enumerate(_entries(operand))
                if x is not None
            }
            meter.given([x for operand in operands for x in _entries(operand) if x is not None])
            with meter:
                value = run(operands)
            return _seen(value, looks, homes, meter)

    def _operand(self, look: Look | None) -> Any:
        if look is None:
            return None
        if isinstance(look, Fact):
            return self.tensor(look)
        return tuple(None if fact is None else self.tensor(fact) for fact in look)


def _entries(value: Any) -> Sequence[torch.Tensor | None]:
    return cast('tuple[torch.Tensor | None, ...]', value) if isinstance(value, tuple) else (value,)


def _identity(x: torch.Tensor) -> int:
    """Return what tells the memory of a tensor from that of others."""
    return x.untyped_storage()._cdata  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] it has no other


def _seen(
    value: Any, looks: Sequence[Look | None], homes: Mapping[int, tuple[int, int]], meter: Meter
) -> Seen:
    """Return what a run showed, given its value."""
    places: list[Place] = []
    facts: list[Fact | None] = []
    fresh: dict[int, int] = {}
    for y in _entries(value):
        if y is None:
            places.append(None)
            facts.append(None)
            continue
        key = _identity(y)
        fact = layout_of(y)
        if key in homes:
            i, k = homes[key]
            look = looks[i]
            home = look if isinstance(look, Fact) or look is None else look[k]
            # An operand stands here for one that may be a part of a larger memory.
            fact = fact._replace(owns=fact.owns and home is not None and home.owns)
            places.append((i, k))
        else:
            fresh.setdefault(key, y.untyped_storage().nbytes())
            places.append(list(fresh).index(key))
        facts.append(fact)
    look = tuple(facts) if isinstance(value, tuple) else facts[0]
    assert look is not None  # noqa: S101 for the type checker: one output is a tensor
    return Seen(look, tuple(places), tuple(fresh.values()), meter.peak, meter.cost)


def frozen(value: Any) -> Any:
    """Return what stands for an attr in a key; of tensors the layout: memory does not depend on values."""
    if isinstance(value, torch.Tensor):
        return ('tensor', layout_of(value))
    if isinstance(value, Node):
        return (value.op, frozen(value.attrs))
    if isinstance(value, Mapping):
        entries = cast('Mapping[str, Any]', value)
        return tuple((name, frozen(entry)) for name, entry in entries.items())
    if isinstance(value, (tuple, list)):
        return (type(cast('object', value)), *map(frozen, cast('Sequence[Any]', value)))
    if isinstance(value, slice):
        return ('slice', frozen(value.start), frozen(value.stop), frozen(value.step))
    # 1, 1.0 and True are equal.
    return (type(value), value) if getattr(value, '__hash__', None) else ('object', id(value))

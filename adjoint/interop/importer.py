"""From a recording of ATen ops to nodes of ours: each op by its builder, or by torch's decomposition."""

import inspect
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import torch
from torch._ops import OpOverload
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from adjoint.core.errors import AdjointError, UnsupportedOpError
from adjoint.core.extent import Extent
from adjoint.core.node import Node
from adjoint.core.source import Location, ambient_site, enter_site, leave_sites
from adjoint.core.tensor_type import TensorType
from adjoint.interop.aten import BUILDERS, MUTATIONS, WRITE_BACK
from adjoint.interop.capture import Capture
from adjoint.interop.custom import CustomCall
from adjoint.interop.stored import Stored
from adjoint.ops.creation import Variable, constant
from adjoint.ops.custom import custom_gradient
from adjoint.ops.extent import size_value
from adjoint.ops.linear import expand_like
from adjoint.ops.torch_names import detach

__all__ = ['Importer']

_SYMBOLIC = (torch.SymInt, torch.SymFloat, torch.SymBool)

# What only checks, or says nothing of a value.
_EFFECTS = (
    'aten._assert_', 'aten.sym_constrain', 'aten._functional_assert', 'aten._assert_tensor_metadata',
)  # fmt: skip


class Importer:
    """Reads a recording and builds its nodes.

    Parameters
    ----------
    recording : Capture
        What is read.
    inputs : sequence of Node
        One for each placeholder, in order.
    seed : int
        Of the first random op; each one after it has the next number.
    """

    def __init__(self, recording: Capture, inputs: Sequence[Node], seed: int) -> None:
        self._recording = recording
        self._tensors = [Stored.new(node) for node in inputs]
        self._given = list(inputs)
        self._seed = seed
        self._records_gradients = True
        self._cts = {ct for call in recording.calls.values() for ct in call.cts}
        self._customs: dict[tuple[torch.fx.Node, ...], tuple[Node, ...]] = {}

    def run(self) -> list[Node]:
        """Return the results of the recording, in order."""
        outside = ambient_site()
        try:
            found = self._interpret(self._recording.graph, self._tensors, self._enter)
        finally:
            leave_sites(outside)
        return [self._read(value) for value in found]

    def written(self) -> dict[int, Node]:
        """Return the inputs that the program wrote to, by position, as they are at the end."""
        pairs = zip(self._tensors, self._given, strict=True)
        return {i: t.read() for i, (t, node) in enumerate(pairs) if t.read() is not node}

    def _enter(self, position: int) -> None:
        enter_site((self._recording.location(position), -1))

    # -- reading a graph ----------------------------------------------------------------------

    def _interpret(
        self, graph: torch.fx.Graph, inputs: Sequence[Any], enter: Callable[[int], None]
    ) -> list[Any]:
        env: dict[torch.fx.Node, Any] = {}
        given = iter(inputs)
        for position, node in enumerate(graph.nodes):
            enter(position)
            if node.op == 'placeholder':
                env[node] = next(given)
            elif node.op == 'get_attr':
                env[node] = self._constant(graph, str(node.target))
            elif node.op == 'output':
                found = pytree.tree_leaves(_resolved(node.args[0], env))
                return list(found)
            else:
                env[node] = self._called(node, env)
        return []

    def _constant(self, graph: torch.fx.Graph, name: str) -> Stored:
        value = self._recording.constants.get(name)
        if graph is not self._recording.graph:
            value = getattr(graph.owning_module, name)
        if value is None or type(value) not in {torch.Tensor, torch.nn.Parameter}:
            msg = (
                'the capture lost track of a tensor, as it does of results that torch.autograd.grad saves: '
                'write the derivative with the ops of adjoint'
            )
            raise self._unsupported(msg)
        return Stored.new(constant(value.detach()))

    def _called(self, node: torch.fx.Node, env: Mapping[torch.fx.Node, Any]) -> Any:
        call = self._recording.calls.get(node)
        if call is not None:
            return self._custom(call, env)
        if node in self._cts:
            known = TensorType.of(node.meta['val'])
            return Stored.new(Variable('', known.shape, known.dtype, known.device))
        target = node.target
        if isinstance(node.meta.get('val'), _SYMBOLIC) and target is not torch.ops.aten.item.default:
            return self._recording.sizes.extent(node.meta['val'])
        args = _resolved(node.args, env)
        kwargs = _resolved(node.kwargs, env)
        if isinstance(target, OpOverload):
            return self._overload(target, node, args, kwargs)
        if target is torch._C._set_grad_enabled:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] what is recorded
            self._records_gradients = bool(args[0])
            return None
        if target is operator.getitem:
            return args[0][args[1]]
        if callable(target) and not pytree.tree_any(_is_tensor, (args, kwargs)):
            return target(*args, **kwargs)  # arithmetic of sizes
        raise self._unsupported(f'{target} is not supported')

    # -- one op -------------------------------------------------------------------------------

    def _overload(
        self, overload: OpOverload, node: torch.fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        name = str(overload)
        if name.startswith(_EFFECTS):
            return None
        schema = overload._schema  # noqa: SLF001 documented nowhere else
        args, kwargs = _sizes_as_values(schema, args, kwargs)
        if name in {'aten.detach.default', 'aten.detach_.default'}:
            return self._detached(args[0], in_place=name.endswith('_.default'))
        if name == 'aten.item.default':
            return self._read(args[0])
        written = [a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write]
        if written and (name not in MUTATIONS):
            return self._in_place(overload, node, args, kwargs)
        parent = args[0] if args and isinstance(args[0], Stored) else None
        shares = parent is not None and _shares(node)
        if shares and parent is not None:
            return self._view(overload, node, parent, args, kwargs)
        built = self._built(overload, node, self._read_all(args), self._read_all(kwargs))
        for argument, value in self._mutations(name, args, kwargs).items():
            target = kwargs.get(argument)
            position = [a.name for a in schema.arguments].index(argument)
            target = args[position] if position < len(args) else target
            if isinstance(target, Stored):
                target.write(value)
        return self._stored(built)

    def _stored(self, built: Any) -> Any:
        if isinstance(built, (tuple, list)):
            return [self._stored(b) for b in cast('Sequence[Any]', built)]
        if built is None or not isinstance(built, Node):
            return built
        return Stored.new(built if self._records_gradients else detach(built))

    def _mutations(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Node]:
        builder = MUTATIONS.get(name)
        if builder is None:
            return {}
        return builder(*self._read_all(args), **self._read_all(kwargs))

    def _detached(self, tensor: Stored, *, in_place: bool) -> Stored:
        if in_place:
            tensor.write(detach(tensor.read()))
            return tensor
        return Stored(tensor.storage, tensor, detach, lambda _, new: new, is_detached=True)

    def _view(
        self,
        overload: OpOverload,
        node: torch.fx.Node,
        parent: Stored,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        rest, options = self._read_all(args[1:]), self._read_all(kwargs)
        write_back = WRITE_BACK.get(str(overload))
        records = self._records_gradients
        count = len(node.meta['val']) if isinstance(node.meta.get('val'), (list, tuple)) else 0

        def view(position: int | None = None) -> Callable[[Node], Node]:
            def of(base: Node) -> Node:
                made = self._built(overload, node, [base, *rest], options)
                made = made if position is None else made[position]
                return made if records else detach(made)

            return of

        def back(position: int | None = None) -> Callable[[Node, Node], Node] | None:
            if write_back is None:
                return None
            extra = {} if position is None else {'position': position}
            return lambda base, new: write_back(base, new, *rest, **options, **extra)

        if not count:
            made = Stored(parent.storage, parent, view(), back())
            made.read()
            return made
        pieces = [Stored(parent.storage, parent, view(i), back(i)) for i in range(count)]
        for piece in pieces:
            piece.read()
        return pieces

    def _in_place(
        self, overload: OpOverload, node: torch.fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        name = str(overload)
        packet, _, variant = name.removeprefix('aten.').partition('.')
        if not packet.endswith('_') or not isinstance(args[0], Stored):
            msg = f'{name}, which writes into its arguments, is not supported'
            raise self._unsupported(msg)
        functional = getattr(getattr(torch.ops.aten, packet[:-1], None), variant, None)
        target = args[0]
        before = target.read()
        if packet in {'copy_', 'fill_', 'zero_'}:
            new = self._filled(before, packet, args)
        elif functional is None:
            msg = f'{name} is not supported'
            raise self._unsupported(msg)
        elif packet in {'unsqueeze_', 'squeeze_', 'transpose_', 't_', 'swapaxes_', 'swapdims_'}:
            reshaped = self._view(functional, node, target, args, kwargs)
            alias = Stored(target.storage, target.parent, target._view, target._write_back)  # noqa: SLF001 of this room
            reshaped.parent = alias
            target.become(reshaped)
            return target
        else:
            new = self._built(functional, node, self._read_all(args), self._read_all(kwargs))
        new = expand_like(new, before)
        target.write(new, keeps_history=not self._records_gradients)
        return target

    def _filled(self, before: Node, packet: str, args: Sequence[Any]) -> Node:
        if packet == 'zero_':
            return BUILDERS['aten.zeros_like.default'](before)
        value = args[1]
        return (
            self._read(value)
            if isinstance(value, Stored)
            else BUILDERS['aten.full_like.default'](before, value)
        )

    # -- builders -----------------------------------------------------------------------------

    def _built(
        self, overload: OpOverload, node: torch.fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Return the node of an op, or a tuple or list of nodes."""
        name = str(overload)
        builder = _builder(name)
        if builder is None:
            return self._decomposed(overload, node, args, kwargs)
        options = dict(kwargs)
        if _takes_seed(builder):
            options['seed'] = self._seed
            self._seed += 1
        try:
            built = builder(*args, **options)
        except AdjointError:
            raise
        except NotImplementedError as error:
            raise self._unsupported(f'{name}: {error}') from error
        except Exception as error:
            error.add_note(f'while importing {name} with {args} {kwargs}')
            raise
        self._check(name, built, node)
        return built

    def _check(self, name: str, built: Any, node: torch.fx.Node) -> None:
        """See that a builder made what torch says it is."""
        value = node.meta.get('val')
        if not isinstance(built, Node) or not isinstance(value, torch.Tensor) or built.type is None:
            return
        if str(node.target).partition('.')[2].partition('.')[0].endswith('_'):
            return
        known = built.type
        wanted = TensorType(tuple(s if isinstance(s, int) else None for s in value.shape), value.dtype)
        shape = known.shape
        fits = shape is None or (
            len(shape) == len(wanted.shape or ())
            and all(
                a == b
                for a, b in zip(shape, wanted.shape or (), strict=True)
                if isinstance(a, int) and isinstance(b, int)
            )
        )
        if not fits or known.dtype not in {None, wanted.dtype}:
            raise self._unsupported(f'{name} gives {wanted} here, and its builder {known}')

    def _decomposed(
        self, overload: OpOverload, node: torch.fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Record what torch makes of an op, and read that."""
        name = str(overload)
        values, structure = pytree.tree_flatten((_values(node.args), _values(node.kwargs)))
        flat_nodes = pytree.tree_leaves((list(args), dict(kwargs)), is_leaf=_is_node)
        places = [i for i, v in enumerate(values) if isinstance(v, torch.Tensor)]
        nodes = [n for n in flat_nodes if isinstance(n, Node)]
        if len(nodes) != len(places):
            raise self._unsupported(f'{name} is not supported')

        def run(*tensors: torch.Tensor) -> Any:
            leaves = list(values)
            for place, tensor in zip(places, tensors, strict=True):
                leaves[place] = tensor
            given, options = pytree.tree_unflatten(leaves, structure)
            return overload(*given, **options)

        fakes = [values[i].detach() for i in places]
        table = _decompositions()
        mode = fakes[0].fake_mode if fakes else None
        try:
            with torch.no_grad():
                module = make_fx(run, decomposition_table=table, _allow_non_fake_inputs=True)(*fakes)
        except Exception as error:
            raise self._unsupported(f'{name} is not supported ({str(error).splitlines()[0]})') from error
        del mode
        calls = [n for n in module.graph.nodes if n.op == 'call_function']
        if any(n.target is overload for n in calls):
            raise self._unsupported(f'{name} is not supported')
        module.graph.owning_module = module
        try:
            found = self._interpret(module.graph, [Stored.new(n) for n in nodes], lambda _: None)
        except UnsupportedOpError as error:
            message = str(error)
            raise UnsupportedOpError(message if name in message else f'{name}: {message}') from error
        results = [self._read(f) if isinstance(f, Stored) else f for f in found]
        output = next(n for n in module.graph.nodes if n.op == 'output').args[0]
        return results if isinstance(output, (list, tuple)) else results[0]

    # -- the rest -----------------------------------------------------------------------------

    def _custom(self, call: CustomCall, env: Mapping[torch.fx.Node, Any]) -> Stored:
        key = tuple(call.results) + tuple(call.cts)
        made = self._customs.get(key)
        if made is None:
            grads = [None if g is None else self._read(env[g]) for g in call.grads]
            made = custom_gradient(
                call.name,
                [self._read(env[r]) for r in call.results],
                [self._read(env[x]) for x in call.inputs],
                [self._read(env[ct]) for ct in call.cts],
                grads,
                once=call.once,
            )
            self._customs[key] = made
        return Stored.new(made[call.position])

    def _read(self, value: Any) -> Any:
        return value.read() if isinstance(value, Stored) else value

    def _read_all(self, tree: Any) -> Any:
        if isinstance(tree, Stored):
            return tree.read()
        if isinstance(tree, (list, tuple)):
            return [self._read_all(v) for v in cast('Sequence[Any]', tree)]
        if isinstance(tree, dict):
            return {k: self._read_all(v) for k, v in cast('dict[str, Any]', tree).items()}
        return tree

    def _unsupported(self, what: str) -> UnsupportedOpError:
        site = ambient_site()
        line = site[0] if site is not None and isinstance(site[0], Location) else ''
        return UnsupportedOpError(f'{what}\n{line}')


def _builder(name: str) -> Callable[..., Any] | None:
    found = BUILDERS.get(name)
    return found if found is not None else BUILDERS.get(name.rpartition('.')[0])


@lru_cache(maxsize=4096)
def _takes_seed(builder: Callable[..., Any]) -> bool:
    try:
        return 'seed' in inspect.signature(builder).parameters
    except (TypeError, ValueError):
        return False


@lru_cache(maxsize=1)
def _decompositions() -> Mapping[OpOverload, Callable[..., Any]]:
    """Return torch's own decompositions of the ops that have no builder."""
    table = torch._decomp.core_aten_decompositions()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] what torch.export goes by
    return {op: how for op, how in table.items() if isinstance(op, OpOverload) and _builder(str(op)) is None}


def _resolved(tree: Any, env: Mapping[torch.fx.Node, Any]) -> Any:
    """Return arguments with what the nodes in them stand for."""
    if isinstance(tree, torch.fx.Node):
        return env[tree]
    if isinstance(tree, (list, tuple)):
        return [_resolved(v, env) for v in cast('Sequence[Any]', tree)]
    if isinstance(tree, dict):
        return {k: _resolved(v, env) for k, v in cast('dict[str, Any]', tree).items()}
    return tree


def _values(tree: Any) -> Any:
    """Return arguments with the tensors without data that the nodes in them had."""
    if isinstance(tree, torch.fx.Node):
        return tree.meta['val']
    if isinstance(tree, (list, tuple)):
        return [_values(v) for v in cast('Sequence[Any]', tree)]
    if isinstance(tree, dict):
        return {k: _values(v) for k, v in cast('dict[str, Any]', tree).items()}
    return tree


def _sizes_as_values(schema: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return arguments with a tensor for each symbolic size that stands where a number is calculated with."""
    numbers = {a.name for a in schema.arguments if str(a.type) in {'Tensor', 'number', 'Optional[number]'}}

    def value(name: str, given: Any) -> Any:
        if not isinstance(given, Extent) or name not in numbers:
            return given
        is_whole = all(mark not in given for mark in ('/ ', 'sqrt', 'Float', 'TrueDiv', '.'))
        return Stored.new(size_value(given, torch.int64 if is_whole else torch.float64))

    names = [a.name for a in schema.arguments]
    return [value(n, v) for n, v in zip(names, args, strict=False)], {
        n: value(n, v) for n, v in kwargs.items()
    }


def _is_tensor(value: Any) -> bool:
    return isinstance(value, (Stored, Node))


def _is_node(value: Any) -> bool:
    return isinstance(value, Node)


def _shares(node: torch.fx.Node) -> bool:
    """Whether a result shares the memory of the first argument."""
    base = node.args[0]
    own = node.meta.get('val')
    if not isinstance(base, torch.fx.Node):
        return False
    theirs = base.meta.get('val')
    first = next(iter(_tensors_of(own)), None)
    if first is None or not isinstance(theirs, torch.Tensor):
        return False
    return first.untyped_storage()._cdata == theirs.untyped_storage()._cdata  # noqa: SLF001 nothing public tells


def _tensors_of(value: Any) -> Iterable[torch.Tensor]:
    return [v for v in pytree.tree_leaves(value) if isinstance(v, torch.Tensor)]

"""From a recording of ATen ops to nodes of ours: each op by its builder, or by torch's decomposition."""

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from adjoint.core.errors import AdjointError, UnsupportedOpError
from adjoint.core.node import Node
from adjoint.core.source import Location, ambient_site, enter_site, leave_sites
from adjoint.core.tensor_type import TensorType
from adjoint.interop.arguments import (
    default_dtype,
    examples,
    is_view,
    mapped,
    read,
    resolved,
    sizes_as_values,
    tensors_in,
)  # fmt: skip
from adjoint.interop.aten import BUILDERS, MUTATIONS, WRITE_BACK
from adjoint.interop.capture import Capture
from adjoint.interop.custom import CustomCall
from adjoint.interop.internals import (
    SETS_GRAD_ENABLED,
    OpOverload,
    arguments_of,
    decompositions,
    owns_memory,
    written_by,
)  # fmt: skip
from adjoint.interop.regions import Regions
from adjoint.interop.shapes import misfit, refined
from adjoint.interop.stored import Stored, View
from adjoint.ops.creation import Variable, constant, zeros_like
from adjoint.ops.custom import custom_gradient
from adjoint.ops.linear import expand_like
from adjoint.ops.ranges import full_like
from adjoint.ops.torch_names import detach

__all__ = ['Importer']

_SYMBOLIC = (torch.SymInt, torch.SymFloat, torch.SymBool)

# What only checks, and says nothing of a value.
_CHECKS = (
    'aten._assert_', 'aten.sym_constrain', 'aten._functional_assert', 'aten._linalg_check_errors',
)  # fmt: skip

_RESHAPES_IN_PLACE = {
    'aten.unsqueeze_', 'aten.squeeze_', 'aten.transpose_', 'aten.t_', 'aten.swapaxes_', 'aten.swapdims_',
}  # fmt: skip

# What an overload in place is called where it is pure, if that is not its name without the underscore.
_PURE = {
    'aten.normal_.default': 'aten.normal_functional.default', 'aten.bernoulli_.float': 'aten.bernoulli.p',
    'aten.transpose_.default': 'aten.transpose.int',
}  # fmt: skip


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
        self._given = list(inputs)
        self._tensors = [Stored(node) for node in inputs]
        self._seed = seed
        self._records_gradients = True
        self._cts = {ct for call in recording.calls.values() for ct in call.cts}
        self._customs: dict[Sequence[torch.fx.Node], tuple[Node, ...]] = {}
        self._regions = Regions(recording.marks, self._unsupported)

    def run(self) -> list[Node]:
        """Return the results of the recording, in order."""

        def enter(position: int) -> None:
            enter_site((self._recording.location(position), -1))

        outside = ambient_site()
        try:
            found = self._interpret(self._recording.graph, self._recording.constants, self._tensors, enter)
            outputs = read(found)
            self._regions.check(outputs)
        finally:
            self._regions.close()
            leave_sites(outside)
        return outputs

    def written(self) -> dict[int, Node]:
        """Return the inputs that the program wrote to, by position, as they are at the end."""
        pairs = zip(self._tensors, self._given, strict=True)
        return {i: t.read() for i, (t, node) in enumerate(pairs) if t.read() is not node}

    # -- reading a graph ----------------------------------------------------------------------

    def _interpret(
        self,
        graph: torch.fx.Graph,
        constants: Mapping[str, torch.Tensor],
        inputs: Sequence[Stored],
        enter: Callable[[int], None],
    ) -> list[Any]:
        """Return what a recorded graph returns, as a list."""
        env: dict[torch.fx.Node, Any] = {}
        given = iter(inputs)
        for position, node in enumerate(graph.nodes):
            enter(position)
            if node.op == 'placeholder':
                env[node] = next(given)
            elif node.op == 'get_attr':
                env[node] = self._constant(constants[str(node.target)])
            elif node.op == 'output':
                return pytree.tree_leaves(resolved(node.args[0], env), is_leaf=lambda v: v is None)
            else:
                env[node] = self._called(node, env)
        return []

    def _constant(self, value: Any) -> Stored:
        if not isinstance(value, torch.Tensor):
            raise self._unsupported(f'a constant of type {type(value).__name__} is not supported')
        if type(value) not in {torch.Tensor, torch.nn.Parameter}:
            raise self._unsupported(
                'the capture lost track of a tensor, as it does of results that torch.autograd.grad saves: '
                'take gradients of the imported graph instead'
            )
        return Stored(constant(value.detach()))

    def _called(self, node: torch.fx.Node, env: Mapping[torch.fx.Node, Any]) -> Any:
        target = node.target
        call = self._recording.calls.get(node)
        if call is not None:
            return self._custom(call, env)
        if node in self._recording.marks:
            return self._stored(self._regions.read(node, env))
        if node in self._cts:
            known = TensorType.of(node.meta['val'])
            return Stored(Variable('', known.shape, known.dtype, known.device))
        value: Any = node.meta.get('val')
        if isinstance(value, _SYMBOLIC) and target is not torch.ops.aten.item.default:
            return self._recording.sizes.extent(value)
        args: Any = resolved(node.args, env)
        kwargs: Any = resolved(node.kwargs, env)
        if isinstance(target, OpOverload):
            overload = cast('Any', target)
            return self._overload(overload, node, *sizes_as_values(overload, args, kwargs))
        if target is SETS_GRAD_ENABLED:
            self._records_gradients = bool(args[0])
            return None
        if target is operator.getitem:
            return args[0][args[1]]
        if callable(target) and not tensors_in((args, kwargs)):
            return target(*args, **kwargs)  # checks of sizes
        raise self._unsupported(f'{target} is not supported')

    # -- one op -------------------------------------------------------------------------------

    def _overload(
        self, overload: OpOverload, node: torch.fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        name = str(overload)
        if name.startswith(_CHECKS):
            return None
        if name == 'aten.detach.default':
            return Stored(View(args[0], detach, lambda _, new: new, is_detached=True))
        if name == 'aten.detach_.default':
            args[0].write(detach(args[0].read()))
            return args[0]
        if name == 'aten.item.default':
            return Stored(detach(args[0].read()))
        if name.startswith('aten.as_strided') and not owns_memory(examples(node.args[0])):
            raise self._unsupported(f'{overload} of a tensor that is a view is not supported: use a clone')
        if name not in MUTATIONS and written_by(overload):
            return self._in_place(overload, node, args, kwargs)
        if is_view(node) and isinstance(args[0], Stored):
            return self._views(overload, node, args[0], args, kwargs)
        built = self._built(overload, node, read(args), read(kwargs))
        if name in MUTATIONS:
            self._mutate(overload, args, kwargs)
        return self._stored(built)

    def _stored(self, built: Any) -> Any:
        records = self._records_gradients
        return mapped(built, lambda v: Stored(v if records else detach(v)) if isinstance(v, Node) else v)

    def _mutate(self, overload: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Write what an op changes beside its result, such as running statistics."""
        names = [name for name, _ in arguments_of(overload)]
        targets = {**dict(zip(names, args, strict=False)), **kwargs}
        for argument, value in MUTATIONS[str(overload)](*read(args), **read(kwargs)).items():
            targets[argument].write(value)

    def _views(
        self,
        overload: OpOverload,
        node: torch.fx.Node,
        parent: Stored,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Return a view of a tensor, or the list of views of an op such as ``split``."""
        value = node.meta['val']
        several = isinstance(value, (list, tuple))
        positions = range(len(cast('Sequence[Any]', value))) if several else [None]
        views: list[Stored] = []
        for position in positions:
            views.append(Stored(View(parent, *self._view(overload, node, args, kwargs, position))))
            views[-1].read()
        return views if several else views[0]

    def _view(
        self,
        overload: OpOverload,
        node: torch.fx.Node,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        position: int | None = None,
    ) -> tuple[Callable[[Node], Node], Callable[[Node, Node], Node] | None]:
        """Return how a view is made of its base, and how its new value goes into the base."""
        rest, options = read(args[1:]), read(kwargs)
        records = self._records_gradients
        write_back = WRITE_BACK.get(str(overload))
        place = {} if position is None else {'position': position}

        def of(base: Node) -> Node:
            made = self._built(overload, node, [base, *rest], options)
            made = made if position is None else made[position]
            return made if records else detach(made)

        def back(base: Node, new: Node) -> Node:
            if write_back is None:
                raise self._unsupported(f'a write in place through {overload} is not supported')
            return write_back(base, new, *rest, **options, **place)

        return of, back

    def _in_place(
        self, overload: OpOverload, node: torch.fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Stored:
        name, _, variant = str(overload).rpartition('.')
        target = args[0] if args else None
        if not name.endswith('_') or not isinstance(target, Stored):
            raise self._unsupported(f'{overload}, which writes into its arguments, is not supported')
        _, called, variant = _PURE.get(str(overload), f'{name[:-1]}.{variant}').split('.')
        packet = getattr(torch.ops.aten, called, None)
        before = target.read()
        if name == 'aten.zero_':
            new = zeros_like(before)
        elif name in {'aten.copy_', 'aten.fill_'}:
            given = read(args[1])
            new = given if isinstance(given, Node) else full_like(before, given)
        elif not hasattr(packet, variant):
            raise self._unsupported(f'{overload} is not supported')
        elif name in _RESHAPES_IN_PLACE:
            target.reshape_in_place(*self._view(getattr(packet, variant), node, args, kwargs))
            return target
        else:
            new = self._built(getattr(packet, variant), node, read(args), read(kwargs))
        target.write(expand_like(new, before), keeps_history=not self._records_gradients)
        return target

    # -- builders -----------------------------------------------------------------------------

    def _built(
        self, overload: OpOverload, node: torch.fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Return the node of an op, or a tuple or list of nodes."""
        builder = _builder(str(overload))
        if builder is None:
            return self._decomposed(overload, node, args, kwargs)
        options = {**kwargs, **default_dtype(overload, node, args, kwargs)}
        if _takes_seed(builder):
            options['seed'] = self._seed
            self._seed += 1
        try:
            built = builder(*args, **options)
        except AdjointError:
            raise
        except NotImplementedError as error:
            raise self._unsupported(f'{overload}: {error}') from error
        except Exception as error:
            error.add_note(f'while importing {overload} with {args} {kwargs}')
            raise
        return self._checked(overload, built, node.meta.get('val')) if node.target is overload else built

    def _checked(self, overload: OpOverload, built: Any, value: Any) -> Any:
        """See that a builder made what torch says it is."""
        if not isinstance(value, torch.Tensor):
            return built
        wanted = misfit(built, value)
        if wanted is not None:
            raise self._unsupported(f'{overload} gives {wanted} here, and its builder {built.type}')
        return refined(built, value, self._recording.sizes)

    def _decomposed(
        self, overload: OpOverload, node: torch.fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Record what torch makes of an op, and read that."""
        leaves, structure = pytree.tree_flatten((examples(node.args), examples(node.kwargs)))
        places = [i for i, v in enumerate(leaves) if isinstance(v, torch.Tensor)]
        operands = tensors_in((args, kwargs))
        if len(operands) != len(places):
            raise self._unsupported(f'{overload} is not supported')

        def run(*tensors: torch.Tensor) -> Any:
            filled = list(leaves)
            for place, tensor in zip(places, tensors, strict=True):
                filled[place] = tensor
            given, options = pytree.tree_unflatten(filled, structure)
            return overload(*given, **options)

        try:
            with torch.no_grad(), self._recording.sizes.mode:
                fakes = [leaves[i].detach() for i in places]
                module = make_fx(run, _decompositions(), _allow_non_fake_inputs=True)(*fakes)
        except Exception as error:
            reason = str(error).strip().partition('\n')[0]
            raise self._unsupported(f'{overload} is not supported ({reason})') from error
        if any(n.target is overload for n in module.graph.nodes):
            raise self._unsupported(f'{overload} is not supported')
        constants = {
            str(n.target): getattr(module, n.target) for n in module.graph.nodes if n.op == 'get_attr'
        }
        try:
            found = read(
                self._interpret(module.graph, constants, [Stored(n) for n in operands], lambda _: None)
            )
        except UnsupportedOpError as error:
            message = str(error)
            raise UnsupportedOpError(
                message if str(overload) in message else f'{overload}: {message}'
            ) from error
        output = next(n for n in module.graph.nodes if n.op == 'output').args[0]
        return found if isinstance(output, (list, tuple)) else found[0]

    # -- the rest -----------------------------------------------------------------------------

    def _custom(self, call: CustomCall, env: Mapping[torch.fx.Node, Any]) -> Stored:
        made = self._customs.get(call.cts)
        if made is None:
            made = custom_gradient(
                call.name,
                [env[r].read() for r in call.results],
                [env[x].read() for x in call.inputs],
                [env[ct].read() for ct in call.cts],
                [None if g is None else env[g].read() for g in call.grads],
                once=call.once,
            )
            self._customs[call.cts] = made
        return Stored(made[call.position])

    def _unsupported(self, what: str) -> UnsupportedOpError:
        site = ambient_site()
        line = site[0] if site is not None and isinstance(site[0], Location) else ''
        return UnsupportedOpError(f'{what}\n{line}')


def _builder(name: str) -> Callable[..., Any] | None:
    packet, _, variant = name.rpartition('.')
    for key in (name, packet, f'{packet.removesuffix("_copy")}.{variant}', packet.removesuffix('_copy')):
        if key in BUILDERS:
            return BUILDERS[key]
    return None


@lru_cache(maxsize=4096)
def _takes_seed(builder: Callable[..., Any]) -> bool:
    try:
        return 'seed' in inspect.signature(builder).parameters
    except (TypeError, ValueError):
        return False


@lru_cache(maxsize=1)
def _decompositions() -> Mapping[OpOverload, Callable[..., Any]]:
    """Return torch's decompositions of the ops that have no builder."""
    return {op: how for op, how in decompositions().items() if _builder(str(op)) is None}

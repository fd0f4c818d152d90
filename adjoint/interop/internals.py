"""What this room uses of torch that torch does not promise to keep, in one place."""

# pyright: basic, reportAttributeAccessIssue=false
# ruff: noqa: SLF001

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch._decomp import core_aten_decompositions
from torch._higher_order_ops import utils as higher_order
from torch._ops import HigherOrderOperator, OpOverload
from torch.distributions import Distribution
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.nn.utils import stateless

__all__ = [
    'DATA_OF_A_TENSOR', 'PACKS_SEQUENCES', 'SCRIPTED', 'SETS_DATA_OF_A_TENSOR', 'SETS_GRAD_ENABLED',
    'HigherOrderOperator', 'OpOverload', 'arguments_of', 'called_as_they_are', 'compiled_as_written',
    'decompositions', 'hooks_of_module', 'hooks_of_tensor', 'in_functorch', 'no_fast_path', 'node_of',
    'numbers_left_open', 'owns_memory', 'position', 'reparametrized', 'returns_alias', 'same_memory',
    'transforms_ended', 'unchecked_distributions', 'written_by',
]  # fmt: skip

SETS_GRAD_ENABLED: Callable[..., Any] = torch._C._set_grad_enabled
DATA_OF_A_TENSOR: Callable[..., Any] = torch.Tensor.data.__get__  # type: ignore[attr-defined]
SETS_DATA_OF_A_TENSOR: Callable[..., Any] = torch.Tensor.data.__set__  # type: ignore[attr-defined]
PACKS_SEQUENCES: Callable[..., Any] = torch._VF._pack_padded_sequence


def in_functorch() -> bool:
    """Whether a transform of ``torch.func`` runs."""
    return torch._C._functorch.peek_interpreter_stack() is not None


@contextmanager
def transforms_ended() -> Generator[None]:
    """End transforms of ``torch.func`` with the block that they began in: torch 2.11 leaves failed ones."""
    before = torch._C._functorch.get_dynamic_layer_stack_depth()
    try:
        yield
    finally:
        if torch._C._functorch.get_dynamic_layer_stack_depth() > before:
            torch._C._functorch.pop_dynamic_layer_stack_and_undo_to_depth(before)


def position() -> int | None:
    """Return how many nodes the running recording has; ``None`` where none runs."""
    graph = getattr(getattr(get_proxy_mode(), 'tracer', None), 'graph', None)
    return None if graph is None else len(graph.nodes)


def node_of(value: Any) -> torch.fx.Node | None:
    """Return the node of the running recording that a tensor is."""
    mode = get_proxy_mode()
    if mode is None or not isinstance(value, torch.Tensor):
        return None
    slot = mode.tracer.tensor_tracker.get(value)
    return None if slot is None else slot.proxy.node


def reparametrized(module: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> AbstractContextManager[None]:
    """Give a module other parameters and buffers within a block, tied ones together."""
    return stateless._reparametrize_module(module, tensors, tie_weights=True)


def arguments_of(overload: OpOverload) -> Sequence[tuple[str, str]]:
    """Return the name and the type of each argument of an overload."""
    return [(a.name, str(a.type)) for a in overload._schema.arguments]


def written_by(overload: OpOverload) -> list[str]:
    """Return the names of the arguments that an overload writes to."""
    arguments = overload._schema.arguments
    return [a.name for a in arguments if a.alias_info is not None and a.alias_info.is_write]


def returns_alias(overload: OpOverload) -> bool:
    """Whether an overload says that what it returns may be a view of an argument."""
    return any(r.alias_info is not None for r in overload._schema.returns)


def same_memory(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors share memory."""
    return a.untyped_storage()._cdata == b.untyped_storage()._cdata


@contextmanager
def unchecked_distributions() -> Generator[None]:
    """Leave out, within a block, the checks by values that `torch.distributions` makes by default."""
    checks = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(checks)


def called_as_they_are(is_meant: Callable[[], bool]) -> AbstractContextManager[None]:
    """Call, within a block, higher-order ops with the functions they are given, which torch would compile."""
    through_torch: Any = getattr(higher_order, '_hop_compile_and_call', None)
    if through_torch is None:
        return _not_compiled(is_meant)

    def called(function: Any, args: Any, kwargs: Any = None) -> Any:
        if not is_meant():
            return through_torch(function, args, kwargs)
        return function(*args, **(kwargs or {}))

    return replaced(higher_order, '_hop_compile_and_call', called)


@contextmanager
def _not_compiled(is_meant: Callable[[], bool]) -> Generator[None]:
    """The same for torch 2.11, which has no one place for it: each op prepares for it, and compiles."""
    prepares, compiles = higher_order.setup_compilation_env, torch.compile

    def prepared() -> AbstractContextManager[Any]:
        # What it takes away for a while is what records, among others, where gradients are switched off.
        return nullcontext('eager') if is_meant() else prepares()

    def compiled(function: Any = None, *args: Any, **kwargs: Any) -> Any:
        is_theirs = getattr(function, '__module__', '').startswith('torch._higher_order_ops')
        return function if is_theirs and is_meant() else compiles(function, *args, **kwargs)

    with replaced(higher_order, 'setup_compilation_env', prepared), replaced(torch, 'compile', compiled):
        yield


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Generator[None]:
    """Give an attribute another value within a block."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


@contextmanager
def no_fast_path() -> Generator[None]:
    """Keep layers of attention, within a block, from the kernels that have no derivative."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def compiled_as_written() -> AbstractContextManager[None]:
    """Run, within a block, functions that `torch.compile` made as they were written."""
    config = getattr(sys.modules.get('torch._dynamo'), 'config', None)
    return nullcontext() if config is None else config.patch(error_on_nested_fx_trace=False)


def hooks_of_tensor(value: torch.Tensor) -> bool:
    """Whether hooks change the gradient by a tensor."""
    return bool(value._backward_hooks)


def hooks_of_module(module: torch.nn.Module) -> bool:
    """Whether hooks see the gradients by the inputs or outputs of a module."""
    return bool(module._backward_hooks or module._backward_pre_hooks)


SCRIPTED: Sequence[Any] = (torch._C.ScriptFunction, torch._C.ScriptMethod)


def numbers_left_open(like: torch.Tensor) -> AbstractContextManager[None]:
    """Let ops on a tensor without data read numbers of others that nothing is to be known of."""
    env = getattr(getattr(like, 'fake_mode', None), 'shape_env', None)
    return nullcontext() if env is None else env.ignore_fresh_unbacked_symbols()


def owns_memory(value: torch.Tensor) -> bool:
    """Whether a tensor is contiguous, and all of its memory."""
    size = value.untyped_storage().nbytes()
    return value.is_contiguous() and value.storage_offset() == 0 and size == value.numel() * value.itemsize


def decompositions() -> Mapping[OpOverload, Callable[..., Any]]:
    """Return torch's own decompositions to Core ATen."""
    return {op: how for op, how in core_aten_decompositions().items() if isinstance(op, OpOverload)}

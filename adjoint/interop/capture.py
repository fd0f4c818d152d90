"""Capture: one run of a torch program on tensors without data, recorded op by op before autograd.

What is recorded is the program as its author wrote it: composite ops whole, in-place writes as writes,
``no_grad`` and ``detach`` where they stand. `make_fx` records; `semantics` keeps what it would lose.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from adjoint.core.errors import AdjointError, UnsupportedOpError
from adjoint.core.source import Location
from adjoint.interop.control import Mark
from adjoint.interop.custom import CustomCall
from adjoint.interop.internals import reparametrized, transforms_ended, unchecked_distributions
from adjoint.interop.semantics import Recorder, Semantics, Trail
from adjoint.interop.sizes import Sizes
from adjoint.interop.surroundings import refuse_hidden_tensors, refuse_what_has_hooks, surroundings

__all__ = ['IS_TENSOR', 'Capture', 'Lifted', 'capture', 'lifted']


# Stands for a tensor among the results.
IS_TENSOR = object()


@dataclass(frozen=True, slots=True)
class Lifted:
    """A program and its inputs, flat: parameters, then buffers, then the tensors of the arguments.

    Parameters
    ----------
    program
        The module or function.
    parameters, buffers
        By their own names; a tied one once, by its first name.
    leaves
        The arguments flat: tensors, and everything else as it is.
    structure
        Of the pair of positional and keyword arguments.
    names
        Of the leaves, for people.
    """

    program: Callable[..., Any]
    parameters: Mapping[str, torch.Tensor]
    buffers: Mapping[str, torch.Tensor]
    leaves: Sequence[Any]
    structure: pytree.TreeSpec
    names: Sequence[str]

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors of the arguments, by name."""
        found = zip(self.names, self.leaves, strict=True)
        return {name: leaf for name, leaf in found if isinstance(leaf, torch.Tensor)}


def lifted(program: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Lifted:
    """Flatten a call of a program."""
    module = program if isinstance(program, torch.nn.Module) else None
    parameters = {} if module is None else dict(module.named_parameters())
    buffers = {} if module is None else dict(module.named_buffers())
    paths, structure = pytree.tree_flatten_with_path((tuple(args), dict(kwargs)))
    return Lifted(
        program, parameters, buffers, [leaf for _, leaf in paths], structure, [_name(p) for p, _ in paths]
    )


def _name(path: Sequence[Any]) -> str:
    """Return a leaf as a person would write it: ``x0``, ``labels``, ``x1['mask']``."""
    kind, first, *rest = path
    place = getattr(first, 'idx', getattr(first, 'key', first))
    start = f'x{place}' if getattr(kind, 'idx', 0) == 0 else str(place)
    return start + ''.join(pytree.keystr((key,)) for key in rest)


@dataclass(frozen=True)
class Capture:
    """A recorded program.

    Parameters
    ----------
    graph
        Of `torch.fx`; its placeholders are the inputs in order, its output the flat list of results.
    constants
        The tensors that its `get_attr` nodes name.
    structure
        Of the result; ``results`` holds what of it is no tensor, and ``IS_TENSOR`` where one goes.
    rebound
        The names of the buffers that the program replaced by another tensor, whose new values stand at
        the end of the output.
    """

    graph: torch.fx.Graph
    constants: Mapping[str, torch.Tensor]
    structure: pytree.TreeSpec
    results: Sequence[Any]
    rebound: Sequence[str]
    calls: Mapping[torch.fx.Node, CustomCall]
    marks: Mapping[torch.fx.Node, Mark]
    trail: Trail
    sizes: Sizes

    def location(self, position: int) -> Location:
        """Return the user's line that recorded the node at a position, with its module."""
        return self.trail.location(position)


def capture(call: Lifted, axes: Mapping[str, Mapping[int, str]]) -> Capture:
    """Record a program.

    Parameters
    ----------
    call
        The program with its inputs.
    axes
        Of the tensors of the arguments, by name: the names of the axes whose size is free.

    Raises
    ------
    UnsupportedOpError
        The program cannot be recorded, or not with its meaning kept; with the line.
    """
    refuse_what_has_hooks(call.program, {**call.parameters, **call.buffers, **call.tensors})
    refuse_hidden_tensors(call.leaves, 'an argument')
    sizes = Sizes()
    fixed: Mapping[int, str] = {}
    given = [(t, fixed) for t in (*call.parameters.values(), *call.buffers.values())]
    given += [(t, axes.get(name, fixed)) for name, t in call.tensors.items()]
    # One tensor given twice is two inputs, which have derivatives of their own.
    known = Counter(id(t) for t, _ in given)
    fakes = [sizes.without_data(_apart(t) if known[id(t)] > 1 else _plain(t), named) for t, named in given]
    recorder = Recorder(call.program if isinstance(call.program, torch.nn.Module) else None)
    outcome: dict[str, Any] = {}

    def run(*flat: torch.Tensor) -> list[torch.Tensor]:
        given = iter(flat)
        parameters = {name: next(given) for name in call.parameters}
        buffers = {name: next(given) for name in call.buffers}
        leaves = [next(given) if isinstance(leaf, torch.Tensor) else leaf for leaf in call.leaves]
        args, kwargs = pytree.tree_unflatten(leaves, call.structure)
        with recorder, unchecked_distributions(), Semantics(recorder):
            if isinstance(call.program, torch.nn.Module):
                result, rebound = _of_module(call.program, parameters, buffers, args, kwargs)
            else:
                result, rebound = call.program(*args, **kwargs), {}
        found, structure = pytree.tree_flatten(result)
        outcome['structure'] = structure
        refuse_hidden_tensors(found, 'a result')
        outcome['results'] = [IS_TENSOR if isinstance(leaf, torch.Tensor) else leaf for leaf in found]
        outcome['rebound'] = list(rebound)
        return [leaf for leaf in found if isinstance(leaf, torch.Tensor)] + list(rebound.values())

    tracer = make_fx(run, pre_dispatch=True, tracing_mode='real', _allow_non_fake_inputs=True)
    try:
        with transforms_ended(), sizes.mode, torch.enable_grad(), surroundings(call.program, recorder):
            module = tracer(*fakes)
    except AdjointError:
        raise
    except Exception as error:
        raise _not_captured(error, recorder) from error
    graph = module.graph
    constants = {str(n.target): getattr(module, str(n.target)) for n in graph.nodes if n.op == 'get_attr'}
    return Capture(
        graph,
        constants,
        outcome['structure'],
        outcome['results'],
        outcome['rebound'],
        recorder.calls,
        recorder.marks,
        recorder.trail,
        sizes,
    )


def _plain(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor without a history, requiring a gradient as it does."""
    return value if value.is_leaf else _apart(value)


def _apart(value: torch.Tensor) -> torch.Tensor:
    return value.detach().requires_grad_(value.requires_grad)


def _of_module(
    module: torch.nn.Module,
    parameters: dict[str, torch.Tensor],
    buffers: dict[str, torch.Tensor],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> tuple[Any, dict[str, torch.Tensor]]:
    """Call a module with other parameters and buffers; return also the buffers that it replaced."""
    with reparametrized(module, {**parameters, **buffers}):
        result = module(*args, **kwargs)
        now = dict(module.named_buffers())
        rebound = {name: now[name] for name, given in buffers.items() if now.get(name) is not given}
    return result, rebound


def _not_captured(error: Exception, recorder: Recorder) -> UnsupportedOpError:
    reason = str(error).strip().splitlines()
    said = next((line.strip() for line in reason if line.strip()), type(error).__name__)
    if 'data-dependent' in said or 'data dependent' in said or 'unbacked' in said:
        said = (
            f'{said}; the control flow depends on the value of a tensor, which a graph does not follow: '
            f'use torch.where or torch.cond, or pass what decides it as a Python value'
        )
    return UnsupportedOpError(
        f'the program cannot be captured: {type(error).__name__}: {said}\n{recorder.where()}'
    )

"""Compiles programs over ATen with Inductor, in a process of its own.

Run as a script by `adjoint.execute.compiled_service`, without the rest of the package: nothing else waits for
it, or fails with it. Each line that it reads names a program and a folder. Into the folder go

* ``program.py``: what Inductor generated, whose ``call`` takes a list of tensors; of a step of a loop, a
  function ``loop`` too, for many steps (see `looped_source`);
* ``library_0.so`` and so on: the kernels; ``parts.json`` has for each name the library, and the module in it;
* ``constants.pt``: the tensors that it names.

Where all that ``program.py`` names is known, what only serves Inductor's own loading is taken out of it, so
that who loads it need not import Inductor. Else it stays as it is, and ``parts.json`` names no kernels.
"""

import gc
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TextIO, cast

# ruff: noqa: E402 what is imported makes many objects, and hardly any garbage
gc.disable()

# Inductor would try for seconds whether vectors can be compiled for this processor. It is taken for granted.
_TELLS = 'TORCHINDUCTOR_VEC_ISA_OK'
_IS_TOLD = _TELLS in os.environ
os.environ.setdefault(_TELLS, '1')
# Nor need it start processes to compile kernels: those for processors are compiled together.
_THREADS = 'TORCHINDUCTOR_COMPILE_THREADS'
_ARE_TOLD = _THREADS in os.environ
os.environ.setdefault(_THREADS, '1')

import torch
from kept_headers import KeptHeaders
from late_kernels import LateKernel, built, defer_kernels, guarded, look_for_headers
from lighter_source import lightened
from looped_source import looped
from torch._dynamo.source import ConstantSource
from torch._guards import TracingContext, tracing
from torch._inductor import config
from torch._inductor.codecache import PyCodeCache
from torch._inductor.codegen.common import KernelTemplate
from torch._inductor.compile_fx import (
    _recursive_joint_graph_passes as joint_passes,  # pyright: ignore[reportPrivateUsage] no public way
)
from torch._inductor.compile_fx import compile_fx_inner
from torch._inductor.cpu_vec_isa import valid_vec_isa_list
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.exc import CppCompileError
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv

__all__ = ['main']

_NONE: Mapping[Any, Callable[..., Any]] = MappingProxyType({})

_ALONE = {'cpp.threads': 1}
_TEMPLATES = {'max_autotune_gemm': True, 'max_autotune_gemm_backends': 'CPP'}


def _mm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.bmm(a[None], b[None])[0]


def _addmm(
    c: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: float = 1, alpha: float = 1
) -> torch.Tensor:
    product = _mm(a, b) if alpha == 1 else _mm(a, b) * alpha
    return product if beta == 0 else product + (c if beta == 1 else c * beta)


# The template for two matrices wants one that never changes; that for batches does not.
_AS_BATCHES = MappingProxyType({torch.ops.aten.mm.default: _mm, torch.ops.aten.addmm.default: _addmm})


def main(given: TextIO, answers: TextIO) -> None:
    """Compile until nothing more is asked for; each answer is a line, with the error if there is one."""
    for line in given:
        asked = json.loads(line)
        gc.freeze()
        try:
            compile_into(Path(asked['program']), Path(asked['folder']))
            answer = {'error': ''}
        except Exception as error:  # noqa: BLE001 whatever it is: who asked goes on without
            answer = {'error': f'{type(error).__name__}: {error}'.strip().splitlines()[0]}
        answers.write(f'{json.dumps(answer)}\n')
        answers.flush()
        gc.collect()


def compile_into(program: Path, folder: Path) -> None:
    """Compile a pickled program, and write what it takes to run it."""
    asked: dict[str, Any] = pickle.loads(program.read_bytes())  # noqa: S301 written by who started this process
    torch.set_num_threads(asked['threads'])
    try:
        found = made(asked)
    except Exception as error:
        is_compilers = isinstance(getattr(error, 'inner_exception', error), CppCompileError)
        if not (is_compilers and tries_vectors()):
            raise
        found = made(asked)
    paths = {path for path, _ in found.kernels.values()}
    libraries = {path: f'library_{i}.so' for i, path in enumerate(sorted(paths))}
    for path, name in libraries.items():
        shutil.copyfile(path, folder / name)
    parts = {name: (libraries[path], entry) for name, (path, entry) in found.kernels.items()}
    (folder / 'program.py').write_text(found.source, encoding='utf-8')
    torch.save(found.constants, folder / 'constants.pt')
    (folder / 'parts.json').write_text(json.dumps(parts), encoding='utf-8')


@dataclass(frozen=True)
class Made:
    """A program that can be run.

    Parameters
    ----------
    source : str
        Of Python.
    kernels : dict of str to tuple
        For each name that it calls, a library, and the name of the module in it.
    constants : dict of str to torch.Tensor
        The tensors that it names.
    """

    source: str
    kernels: dict[str, tuple[Path, str]]
    constants: dict[str, torch.Tensor]


def made(asked: Mapping[str, Any]) -> Made:
    """Return what is asked for."""
    given = asked['module'], asked['layouts'], asked['options']
    return compiled(*given) if asked['loop'] is None else compiled_step(*given, asked['loop'])


def finished(found: Any, loop: Sequence[int] | None) -> Made:
    """Compile the kernels of what Inductor made, of a step of a loop with the loop around it.

    Raises
    ------
    ValueError
        A kernel that would end the process cannot be loaded in our way.
    """
    path = Path(PyCodeCache.write(found.source_code)[1])
    constants: dict[str, torch.Tensor] = found.constants or {}
    module: ModuleType = PyCodeCache.load_by_key_path(found.cache_key, str(path), attrs=constants)
    light = lightened(found.source_code, module)
    if light is not None:
        source, kernels = light if loop is None else looped(*light, loop[0])
        places = built(list(kernels.values()))
        return Made(source, {name: places[kernel] for name, kernel in kernels.items()}, constants)
    if guarded(found.source_code) != found.source_code:
        msg = 'its kernels cannot be loaded by themselves, and would end the process at an index out of range'
        raise ValueError(msg)
    for kernel in vars(module).values():
        if isinstance(kernel, LateKernel):
            kernel.leave_to_inductor()
    source = found.source_code if loop is None else looped(found.source_code, {}, loop[0])[0]
    return Made(source, {}, constants)


def tries_vectors() -> bool:
    """Have Inductor try after all whether vectors can be compiled; return whether that is new."""
    is_new = not _IS_TOLD and config.cpp.vec_isa_ok is not None
    if is_new:
        config.cpp.vec_isa_ok = None
        valid_vec_isa_list.cache_clear()
    return is_new


def compiled_step(
    module: GraphModule, layouts: Sequence[tuple[Any, ...]], options: dict[str, Any], loop: Sequence[int]
) -> Made:
    """Return what Inductor makes of a step of a loop that does little in one, as a program of its number.

    It has one thread: to bring others in takes longer than what they would do. Products of matrices become
    code, too, where there are templates for them; a library takes as long to be called as to multiply.
    """
    options = options | _ALONE
    try:
        return compiled(module, layouts, options | _TEMPLATES, _AS_BATCHES, loop)
    except Exception:  # noqa: BLE001 of other types or layouts, there are none
        return compiled(module, layouts, options, loop=loop)


def compiled(
    module: GraphModule,
    layouts: Sequence[tuple[Any, ...]],
    options: dict[str, Any],
    decompositions: Mapping[Any, Callable[..., Any]] = _NONE,
    loop: Sequence[int] | None = None,
) -> Made:
    """Return what Inductor makes of a program for tensors of these layouts.

    Parameters
    ----------
    module : GraphModule
        The program.
    layouts : sequence of tuple
        Shape, strides, dtype and device of each tensor.
    options : dict of str to object
        Inductor's.
    decompositions : mapping
        What is written otherwise, beside what Inductor always does.
    loop : sequence of int, optional
        See :func:`by_number`.
    """
    if not _ARE_TOLD and any(device.type != 'cpu' for *_, device in layouts):
        options = options | {'compile_threads': os.cpu_count() or 1}
    mode = FakeTensorMode(allow_non_fake_inputs=True, shape_env=None if loop is None else ShapeEnv())
    with torch.no_grad(), config.patch(options):
        with mode:
            inputs = [
                torch.empty_strided(shape, strides, dtype=dtype, device=device)
                for shape, strides, dtype, device in layouts
            ]
            run, inputs = (module, inputs) if loop is None else by_number(module, inputs, loop)
            table = {**select_decomp_table(), **decompositions}
            traced = make_fx(run, decomposition_table=table)(*inputs)
        with tracing(TracingContext(mode)):
            traced = joint_passes(traced)
            output = traced.graph.find_nodes(op='output')[0]
            results = cast('Sequence[Any]', output.args[0])
            # Results have the strides that the traced program gives them.
            output.meta['user_visible_output_idxs'] = list(range(len(results)))
            found: Any = compile_fx_inner(traced, inputs, is_inference=True)
    if not hasattr(found, 'source_code'):
        msg = 'there is nothing to compile'
        raise ValueError(msg)
    return finished(found, loop)


def by_number(
    module: GraphModule, inputs: Sequence[torch.Tensor], loop: Sequence[int]
) -> tuple[Callable[..., Any], list[Any]]:
    """Return a step as a function of its number, and inputs for it.

    Parameters
    ----------
    module : GraphModule
        The step: from carries, slices and constants to the next carries and the results.
    inputs : sequence of torch.Tensor
        For it, without data.
    loop : sequence of int
        How many inputs are carries, how many are slices, and how many steps there are.
    """
    carries, sequences, steps = loop
    before = carries + sequences
    results = module(*inputs)[carries:]
    wholes = [torch.empty(steps, *x.shape, dtype=x.dtype) for x in inputs[carries:before]]
    stacks = [torch.empty(steps, *y.shape, dtype=y.dtype) for y in results]
    environment = cast('FakeTensorMode', inputs[0].fake_mode).shape_env  # pyright: ignore[reportAttributeAccessIssue]
    assert environment is not None  # noqa: S101 it was made with one
    source = ConstantSource('step')
    symbol = environment.create_symbol(
        1, source=source, dynamic_dim=DimDynamic.DYNAMIC, constraint_dim=None, do_not_specialize_zero_one=True
    )
    number = environment.create_symintnode(symbol, hint=1, source=source)

    def run(*given: Any) -> list[Any]:
        *values, i = given
        slices = [x.select(0, i) for x in values[carries:before]]
        found = module(*values[:carries], *slices, *values[before : len(inputs)])
        for stack, y in zip(values[len(inputs) :], found[carries:], strict=True):
            stack.copy_(torch.select_scatter(stack, y, 0, i))
        return list(found[:carries])

    return run, [*inputs[:carries], *wholes, *inputs[before:], *stacks, number]


def remember_templates() -> None:
    """Have every template parsed once: each product of matrices asks for all of them."""
    name = '_template_from_string'
    setattr(KernelTemplate, name, staticmethod(cache(getattr(KernelTemplate, name))))  # in this process only


if __name__ == '__main__':
    # What is printed by anyone goes elsewhere; compilers that are started do not read what is asked for.
    _given, _answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), 'w')
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    if len(sys.argv) > 1:
        os.nice(int(sys.argv[1]))
    defer_kernels()
    KeptHeaders().take_over(look_for_headers)
    with suppress(AttributeError):  # it is for speed only
        remember_templates()
    main(_given, _answers)

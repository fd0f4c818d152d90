"""Programs over ATen, compiled: from what was compiled earlier if it is there."""

import hashlib
import json
import os
import pickle
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias, cast

import torch
from torch.fx import GraphModule

from adjoint.execute.compiled_service import CompilerError, Service
from adjoint.execute.compiled_store import Store
from adjoint.execute.internals import DATA_POINTER

__all__ = ['Call', 'Layout', 'key_of', 'loaded']

# Takes a list of tensors, and empties it; of steps of a loop, further the number of the first, by how much it
# changes from step to step, and how many steps there are.
Call: TypeAlias = Callable[..., Sequence[torch.Tensor]]

# Shape, strides, dtype and device.
Layout: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], torch.dtype, torch.device]

# To be changed when the worker writes otherwise.
_FORMAT = 5

# What is checked already is not checked again in every call.
_OPTIONS = {'size_asserts': False, 'alignment_asserts': False, 'nan_asserts': False, 'fx_graph_cache': False}

# How the names of what Inductor reads from the environment begin, and what kernels read there.
_TELLS = ('TORCHINDUCTOR_', '_TORCHINDUCTOR_')
_POINTER = '_TORCHINDUCTOR_PYOBJECT_TENSOR_DATA_PTR'
_TELLS_NOTHING = frozenset({'TORCHINDUCTOR_CACHE_DIR', _POINTER})

_loading = Lock()


def loaded(
    module: GraphModule,
    layouts: Sequence[Layout],
    service: Service,
    store: Store,
    loop: tuple[int, int, int] | None = None,
) -> Call:
    """Return the compiled form of a program for tensors of these layouts.

    Parameters
    ----------
    module : GraphModule
        The program.
    layouts : sequence of Layout
        Of what it is given.
    service : Service
        Compiles it.
    store : Store
        Where it is kept.
    loop : tuple of int, optional
        It is a step of a loop that does little in one. How many inputs are carries; how many behind these are
        slices; how many steps there are. What is compiled takes whole sequences in the place of the slices,
        then the other inputs, and the memory for the results of all steps; it returns the last carries.

    Raises
    ------
    CompilerError
        It cannot be compiled, or what was compiled cannot be loaded.
    """
    key = key_of(module, layouts, loop)
    entry = 'call' if loop is None else 'loop'

    def fill(folder: Path) -> None:
        asked = {
            'module': module,
            'layouts': list(layouts),
            'threads': torch.get_num_threads(),
            'options': _OPTIONS,
            'loop': loop,
        }
        program = folder / 'asked'
        program.write_bytes(pickle.dumps(asked))
        service.compile(program, folder)
        program.unlink()

    try:
        folder = store.get(key)
        if folder is not None:
            return _call_of(folder, entry)
        with tempfile.TemporaryDirectory(prefix='adjoint-') as aside:
            made = Path(aside) / key
            made.mkdir()
            fill(made)
            # Where nothing can be kept, it is loaded from here: on a disk that is full, or read-only.
            return _call_of(store.keep(key, made) or made, entry)
    except CompilerError:
        raise
    except Exception as error:
        msg = f'{type(error).__name__}: {error}'
        raise CompilerError(msg) from error


def key_of(module: GraphModule, layouts: Sequence[Layout], loop: tuple[int, int, int] | None = None) -> str:
    """Return what tells a compiled program from all others: its text, its constants, and where it runs."""
    made = hashlib.sha256()
    devices = {device for _, _, _, device in layouts if device.type == 'cuda'}
    parts = (
        _FORMAT, module.code, list(layouts), torch.get_num_threads(), _OPTIONS, loop, _told(), _machine(),
        sorted(map(_gpu, devices)),
    )  # fmt: skip
    made.update(repr(parts).encode())
    for name, value in sorted(module.named_buffers()):
        made.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        made.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return made.hexdigest()


def _told() -> list[tuple[str, str]]:
    """Return what the environment tells Inductor, but for where it keeps its files."""
    return sorted(
        (name, value)
        for name, value in os.environ.items()
        if name.startswith(_TELLS) and name not in _TELLS_NOTHING
    )


@cache
def _machine() -> tuple[str, ...]:
    """Return what compiled code depends on beside its source."""
    return (
        str(torch.__version__),
        str(torch.version.git_version),
        platform.python_version(),
        platform.machine(),
        torch.backends.cpu.get_cpu_capability(),
        _flags(Path('/proc/cpuinfo')),
    )


def _gpu(device: torch.device) -> tuple[str, ...]:
    """Return what code for a GPU depends on."""
    found = cast('Any', torch.cuda.get_device_properties(device))
    return (found.name, f'{found.major}.{found.minor}', str(found.multi_processor_count))


def _flags(path: Path) -> str:
    """Return the line of a description of processors that lists what they can do."""
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except OSError:
        return ''
    return next((line for line in lines if line.startswith(('flags', 'Features'))), '')


def _call_of(folder: Path, entry: str) -> Call:
    """Load a compiled program."""
    kernels: dict[str, tuple[str, str]] = json.loads((folder / 'parts.json').read_text(encoding='utf-8'))
    path = folder / 'program.py'
    space: dict[str, Any] = {'__name__': f'adjoint_compiled_{folder.name}', '__file__': str(path)}
    with _loading:
        for name, (file, module) in kernels.items():
            space[name] = _kernel(folder / file, module)
    exec(compile(path.read_text(encoding='utf-8'), str(path), 'exec'), space)  # noqa: S102 what was compiled
    space.update(torch.load(folder / 'constants.pt', weights_only=True))
    return space[entry]


def _kernel(path: Path, entry: str) -> Callable[..., None]:
    """Load one kernel, a module of that name in a library."""
    # The last part is that of its entry, and all of it is its place among the modules.
    name = f'adjoint_compiled_{path.parent.name}_{path.stem}.{entry}'
    module = sys.modules.get(name)
    if module is None:
        os.environ[_POINTER] = str(DATA_POINTER)
        spec = spec_from_loader(name, ExtensionFileLoader(name, str(path)))
        assert spec is not None  # noqa: S101 of a loader that is there
        assert spec.loader is not None  # noqa: S101
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    return getattr(module, entry)

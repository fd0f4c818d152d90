"""The kernels of a program, compiled together.

Most of what a compiler does for a kernel is the same for all: reading headers, and making functions of their
templates. So kernels are not compiled when Inductor makes them, but together, in as many files as processors
are free.
"""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch._inductor.codecache import CppPythonBindingsCodeCache

__all__ = ['LateKernel', 'built', 'defer_kernels', 'guarded', 'look_for_headers']

_plain = CppPythonBindingsCodeCache.load_pybinding_async
_HEADER = '#include <torch/csrc/inductor/cpp_prefix.h>'


@dataclass(frozen=True)
class LateKernel:
    """The text of a kernel that is compiled later.

    Parameters
    ----------
    argtypes : tuple of str
        The types of what it takes, as C++ writes them.
    code : str
        Its definition, with the name ``kernel``.
    calls : tuple of tuple
        Kernels that it calls, each behind the name of a namespace that it has for it.
    """

    argtypes: tuple[str, ...]
    code: str
    calls: 'tuple[tuple[str, LateKernel], ...]' = ()

    def leave_to_inductor(self) -> None:
        """Compile it by itself, to where Inductor finds it."""
        _plain(self.argtypes, self.code)()


class _Library(CppPythonBindingsCodeCache):
    """Compiles, and does not load."""

    @staticmethod
    def _load_library_inner(path: str, key: str) -> Any:
        return SimpleNamespace(path=Path(path), key=key)


def defer_kernels() -> None:
    """Have every kernel that Inductor makes for a processor be a :class:`LateKernel`, in this process."""

    def load(argtypes: Sequence[str], main_code: str, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop('submit_fn', None)
        code = guarded(main_code)
        if args or kwargs:
            return _plain(argtypes, code, *args, **kwargs)
        return lambda: LateKernel(tuple(argtypes), code)

    CppPythonBindingsCodeCache.load_pybinding_async = load


def look_for_headers() -> None:
    """Have Inductor look for compiled headers, as for any kernel."""
    _plain([], f'{_HEADER}\nextern "C" void kernel() {{}}')  # what that gives would compile it


def built(kernels: Sequence[LateKernel]) -> dict[LateKernel, tuple[Path, str]]:
    """Compile kernels; return for each the library that it is in, and the name of its module there."""
    entries = {kernel: f'kernel_{i}' for i, kernel in enumerate(dict.fromkeys(kernels))}
    if not entries:
        return {}
    # What calls another is where that is, and behind it.
    together = sorted(entries, key=lambda kernel: bool(kernel.calls))
    shares = [together] if together[-1].calls else _shares(together, _processors())
    sources = [_joined(share, entries) for share in shares]
    with ThreadPoolExecutor(len(sources)) as pool:
        libraries: list[Path] = list(pool.map(_library, sources))
    return {
        kernel: (library, entries[kernel])
        for share, library in zip(shares, libraries, strict=True)
        for kernel in share
    }


def _library(source: str) -> Path:
    """Compile a text in C++, and return where it is."""
    return _Library.load_async(source)().path


def _processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _shares(kernels: Sequence[LateKernel], most: int) -> list[list[LateKernel]]:
    """Share kernels out, about as much text to each."""
    shares: list[list[LateKernel]] = [[] for _ in range(min(most, len(kernels)))]
    sizes = [0] * len(shares)
    for kernel in sorted(kernels, key=lambda kernel: -len(kernel.code)):
        least = sizes.index(min(sizes))
        shares[least].append(kernel)
        sizes[least] += len(kernel.code)
    return shares


def _joined(kernels: Sequence[LateKernel], entries: dict[LateKernel, str]) -> str:
    """Return kernels as one text in C++: each is a module of Python, in a namespace of its own."""
    heads: dict[str, None] = {_HEADER: None}
    bodies: list[str] = []
    for kernel in kernels:
        entry = entries[kernel]
        given = ', '.join(
            f'parse_arg<{argtype.replace("const ", "")}>(args, {i})'
            for i, argtype in enumerate(kernel.argtypes)
        )
        binding = CppPythonBindingsCodeCache.suffix_template.format(
            arg_len=len(kernel.argtypes),
            call_entry_func=CppPythonBindingsCodeCache.call_entry_function.format(given),
            entry_func=entry,
            extra_parse_arg='',
        )
        # Within a namespace, all functions of one name in C would be the same.
        code = re.sub(r'\bextern\s+"C"', '', kernel.code) + binding
        lines = code.split('\n')
        heads |= dict.fromkeys(line.strip() for line in lines if _is_include(line))
        named = [f'namespace {name} = adjoint_{entries[called]};' for name, called in kernel.calls]
        body = '\n'.join([*named, *(line for line in lines if not _is_include(line))])
        bodies.append(f'namespace adjoint_{entry} {{\n{body}\n}}')
    return '\n'.join([*heads, *bodies])


def _is_include(line: str) -> bool:
    return line.lstrip().startswith('#include')


def guarded(code: str) -> str:
    """Return a kernel that raises where it would end the process.

    An exception, as of an index out of range, may not leave the body of a loop that threads share. So it is
    caught there, and one is raised after the loop.
    """
    lines = code.split('\n')
    if not any('TORCH_CHECK(' in line for line in lines) or '#pragma omp for' not in code:
        return code
    found: list[str] = []
    closing: set[str] = set()
    nested = 0
    for line in lines:
        body, indent = line.strip(), line[: len(line) - len(line.lstrip())]
        if body.startswith('#pragma omp for'):
            collapsed = re.search(r'collapse\((\d+)\)', body)
            nested = int(collapsed[1]) if collapsed else 1
        if body == '}' and indent in closing:
            closing.remove(indent)
            found.append(f'{indent}}} catch (...) {{ adjoint_failed = true; }}')
        if line == '}':
            found.append('    if (adjoint_failed) throw std::runtime_error("a kernel failed");')
        found.append(line)
        if line == '{':
            found.append('    std::atomic<bool> adjoint_failed{false};')
        elif body == '{' and nested:
            nested -= 1
            if not nested:
                found.append(f'{indent}try {{')
                closing.add(indent)
    return '\n'.join(found)

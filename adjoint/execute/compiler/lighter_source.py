"""Programs that Inductor wrote, without what only serves its own loading."""

import ast
from types import ModuleType

import torch
from late_kernels import LateKernel
from torch._inductor.select_algorithm import extern_kernels

__all__ = ['lightened']

# What a program that keeps nothing of Inductor's loading may import.
_LIGHT = frozenset({'torch', 'math', 'random', 'os', 'tempfile', 'ctypes', 'cmath'})

# Names for what is only there when Inductor is imported.
_INDUCTORS = frozenset({'async_compile', 'inductor_ops', 'alloc_from_pool'})

# What it defines only to be run by itself, and how it waits for its kernels.
_ASIDE = frozenset({'get_args', 'benchmark_compiled_module'})
_PREFIXES_ASIDE = (
    'async_compile.', 'del async_compile', "if __name__ == '__main__'", 'recursively_apply_fns =',
)  # fmt: skip


def lightened(source: str, module: ModuleType) -> tuple[str, dict[str, LateKernel]] | None:
    """Return a program without what only serves Inductor's loading, and its kernels; ``None`` if it needs it.

    Parameters
    ----------
    source : str
        What Inductor generated.
    module : ModuleType
        The same, loaded.
    """
    kept: list[ast.stmt] = []
    kernels: dict[str, LateKernel] = {}
    gone: set[str] = set()
    for statement in ast.parse(source).body:
        name = _assigned(statement)
        if name in _INDUCTORS or _is_aside(statement):
            gone.add(name)
        elif isinstance(statement, (ast.Import, ast.ImportFrom)) and not _imported(statement) <= _LIGHT:
            gone.update(alias.asname or alias.name for alias in statement.names)
        elif name and isinstance(kernel := getattr(module, name, None), LateKernel):
            kernels[name] = kernel
        else:
            kept.append(statement)
    nodes = [node for statement in kept for node in ast.walk(statement)]
    used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    calls = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == 'extern_kernels'
    }
    # `extern_kernels.mm` is `torch.mm`, and so on.
    are_torchs = all(getattr(extern_kernels, call) is getattr(torch, call, None) for call in calls)
    if not are_torchs or (used & gone) - {'extern_kernels'}:
        return None
    kept = [x for x in kept if _assigned(x) in {'', 'call', *used}]
    head = 'import torch as extern_kernels\n' if calls else ''
    return head + ast.unparse(ast.fix_missing_locations(ast.Module(kept, []))), kernels


def _assigned(statement: ast.stmt) -> str:
    """Return the name that a statement assigns, or nothing."""
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    return ''


def _imported(statement: ast.Import | ast.ImportFrom) -> set[str]:
    """Return the modules that a statement imports from."""
    if isinstance(statement, ast.ImportFrom):
        return {statement.module or ''}
    return {alias.name for alias in statement.names}


def _is_aside(statement: ast.stmt) -> bool:
    """Whether a statement is of no use to who calls the program."""
    if isinstance(statement, ast.FunctionDef):
        return statement.name in _ASIDE
    return ast.unparse(statement).startswith(_PREFIXES_ASIDE)

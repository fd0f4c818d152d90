"""The rooms of the package: who may import whom, read from the source with `ast`."""

import ast
import builtins
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = 'adjoint'

# For each room, the rooms it may import. Rooms of one storey (`train` and `verify`) may use each
# other as long as there is no cycle; `execute` and `autodiff` do not know each other.
_TOOLS = frozenset({'train', 'view', 'verify', 'interop'})
_LOWEST = frozenset({'core', 'ops'})
_MIDDLE = _LOWEST | {'passes', 'execute', 'autodiff', 'flow'}
ALLOWED: Mapping[str, frozenset[str]] = {
    'core': frozenset(),
    'ops': frozenset({'core'}),
    'passes': _LOWEST,
    'autodiff': _LOWEST | {'passes'},
    'execute': _LOWEST | {'passes'},
    'flow': _LOWEST | {'passes', 'autodiff', 'execute'},
    'transform': _MIDDLE,
    **{room: _MIDDLE | {'transform'} | (_TOOLS - {room}) for room in _TOOLS},
    'cli': _MIDDLE | _TOOLS | {'transform'},
}

# These rooms write models as a user would (`import adjoint as ad`); the package imports neither.
WRITTEN_AS_A_USER = frozenset({'cli', 'train'})

# The modules behind the packages of the extra `train`.
OPTIONAL = {'matplotlib': 'matplotlib', 'safetensors': 'safetensors', 'scikit-learn': 'sklearn'}

# What an import by a computed string is taken for. Only the package itself may do it, in its
# `__getattr__`: a public name that needs sympy is imported when it is first asked for (PEP 562).
BY_STRING = f'{PACKAGE}.<by a string>'

LINES_OF_A_FILE = 400


@dataclass(frozen=True)
class Import:
    """One import statement's target, and how it stands there."""

    target: str
    line: int
    in_function: bool
    for_types_only: bool


def sources() -> dict[str, str]:
    """The source of every module of the package, by dotted name."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / PACKAGE).rglob('*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        name = '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)
        found[name] = path.read_text(encoding='utf-8')
    return found


def is_package(module: str) -> bool:
    """Whether the module is the `__init__` of a folder."""
    return (ROOT.joinpath(*module.split('.')) / '__init__.py').is_file()


def _targets(node: ast.Import | ast.ImportFrom, module: str, package: bool) -> list[str]:
    """The full dotted names that a statement imports; `from a import b` gives `a.b`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ''
    if node.level:
        parts = module.split('.')
        above = parts[: len(parts) - node.level + (1 if package else 0)]
        base = '.'.join([*above, *([base] if base else [])])
    return [f'{base}.{alias.name}' for alias in node.names]


def imports(source: str, module: str, *, package: bool = False) -> list[Import]:
    """Every import of a source, also those inside functions, and calls that import by a string."""
    found: list[Import] = []
    stack: list[tuple[ast.AST, bool, bool]] = [(ast.parse(source), False, False)]
    while stack:
        node, in_function, for_types = stack.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found += [
                Import(target, node.lineno, in_function, for_types)
                for target in _targets(node, module, package)
            ]
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {
            '__import__',
            'import_module',
            'importlib.import_module',
        }:
            target = node.args[0] if node.args else None
            name = target.value if isinstance(target, ast.Constant) else BY_STRING
            found.append(Import(str(name), node.lineno, in_function, for_types))
        inside = in_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith('TYPE_CHECKING'):
            stack += [(child, inside, True) for child in node.body]
            stack += [(child, inside, for_types) for child in node.orelse]
        else:
            stack += [(child, inside, for_types) for child in ast.iter_child_nodes(node)]
    return sorted(found, key=lambda found_import: found_import.line)


def room_of(target: str) -> str | None:
    """The room of a dotted name: '' for the package itself, None for what is not ours."""
    parts = target.split('.')
    if parts[0] != PACKAGE:
        return None
    return parts[1] if len(parts) > 1 and parts[1] in ALLOWED else ''


def violations(source: str, module: str, *, package: bool = False) -> list[str]:
    """What a module imports that its room may not, one line for each."""
    room = room_of(module)
    found: list[str] = []
    for item in imports(source, module, package=package):
        if (module, item.target, item.in_function) == (PACKAGE, BY_STRING, True):
            continue
        where = f'{module}, line {item.line}: {item.target}'
        other = room_of(item.target)
        top = item.target.split('.')[0]
        optional = top in OPTIONAL.values()
        if item.in_function and not optional:
            found.append(f'{where} is imported inside a function and is no optional dependency')
        if optional and not item.in_function and not item.for_types_only:
            found.append(f'{where} is an optional dependency, imported when the module is loaded')
        if other is None or room == '':
            continue
        if other == '' and room not in WRITTEN_AS_A_USER:
            found.append(f'{where}: a room imports rooms, not the whole package')
        elif other not in {'', room} and (room is None or other not in ALLOWED[room]):
            found.append(f'{where}: {room} may not import {other}')
    return found


def find_cycle(graph: Mapping[str, set[str]]) -> list[str] | None:
    """A cycle of a directed graph, as its nodes in order with the first one repeated, or None."""
    done: set[str] = set()
    for start in graph:
        path: list[str] = []
        todo: list[Iterator[str]] = []
        if start not in done:
            path, todo = [start], [iter(sorted(graph[start]))]
        while todo:
            successor = next(todo[-1], None)
            if successor is None:
                todo.pop()
                done.add(path.pop())
            elif successor in path:
                return [*path[path.index(successor) :], successor]
            elif successor not in done:
                path.append(successor)
                todo.append(iter(sorted(graph.get(successor, set()))))
    return None


def file_graph(modules: Mapping[str, str]) -> dict[str, set[str]]:
    """Which file imports which when it is loaded; imports for type checkers only are left out."""
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, source in modules.items():
        for item in imports(source, name, package=is_package(name)):
            if item.for_types_only or (name, item.target) == (PACKAGE, BY_STRING):
                continue
            # `from adjoint.core.node import Node` depends on the file node.py, and
            # `from adjoint.core import node` on the same one.
            for target in (item.target, item.target.rpartition('.')[0]):
                if target in modules:
                    graph[name].add(target)
                    break
    return graph


def builtin_assignments(source: str) -> list[str]:
    """Builtin names that a module binds at its top level; inner scopes are left out."""
    names: list[str] = []
    stack: list[ast.AST] = [ast.parse(source)]
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names += [alias.asname or alias.name.split('.')[0] for alias in node.names]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        elif not isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            stack += ast.iter_child_nodes(node)
    return [name for name in names if hasattr(builtins, name) and not name.startswith('__')]


MODULES = sources()


def test_the_package_is_read() -> None:
    assert f'{PACKAGE}.core' in MODULES
    assert any(imports(source, name) for name, source in MODULES.items())


def test_every_folder_is_a_room() -> None:
    folders = {path.name for path in (ROOT / PACKAGE).iterdir() if path.is_dir() and any(path.rglob('*.py'))}
    assert folders <= set(ALLOWED)


@pytest.mark.parametrize('module', MODULES)
def test_imports_go_one_way(module: str) -> None:
    assert violations(MODULES[module], module, package=is_package(module)) == []


def test_core_imports_nothing_of_ours_outside_core() -> None:
    outside = [
        f'{name}, line {item.line}: {item.target}'
        for name, source in MODULES.items()
        if room_of(name) == 'core'
        for item in imports(source, name, package=is_package(name))
        if room_of(item.target) not in {None, 'core'}
    ]
    assert outside == []


def test_core_defines_no_op() -> None:
    bases = {
        f'{name}.{node.name}'
        for name, source in MODULES.items()
        if room_of(name) == 'core'
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).split('.')[-1] == 'Op' for base in node.bases)
    }
    assert bases == set()


def test_package_imports_no_room_that_is_written_as_a_user() -> None:
    rooms = {room_of(item.target) for item in imports(MODULES[PACKAGE], PACKAGE, package=True)}
    assert rooms & WRITTEN_AS_A_USER == set()


def test_package_names_what_it_imports_on_demand() -> None:
    # What `__getattr__` imports stands under `if TYPE_CHECKING` too, where all checks here see it.
    for_types = {item.target for item in imports(MODULES[PACKAGE], PACKAGE) if item.for_types_only}
    on_demand = {
        text.value
        for statement in ast.parse(MODULES[PACKAGE]).body
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None
        for text in ast.walk(statement.value)
        if isinstance(text, ast.Constant) and text.value in MODULES
    }
    assert all(any(f'{t}.'.startswith(f'{m}.') for t in for_types) for m in on_demand)


def test_files_import_without_a_cycle() -> None:
    assert find_cycle(file_graph(MODULES)) is None


def test_rooms_import_without_a_cycle() -> None:
    graph: dict[str, set[str]] = {room: set() for room in ALLOWED}
    for name, source in MODULES.items():
        room = room_of(name)
        if room:
            others = {
                room_of(item.target) or room for item in imports(source, name, package=is_package(name))
            }
            graph[room] |= others - {room}
    assert find_cycle(graph) is None


@pytest.mark.parametrize('module', MODULES)
def test_files_are_short(module: str) -> None:
    assert len(MODULES[module].splitlines()) < LINES_OF_A_FILE


# The public namespace names ops as torch does (`ad.sum`, `ad.abs`); inside, a builtin stays one.
@pytest.mark.parametrize('module', [name for name in MODULES if name != PACKAGE])
def test_no_module_shadows_a_builtin(module: str) -> None:
    assert builtin_assignments(MODULES[module]) == []


def test_optional_dependencies_are_those_of_the_extra() -> None:
    with (ROOT / 'pyproject.toml').open('rb') as file:
        extra = tomllib.load(file)['project']['optional-dependencies']['train']
    assert sorted(requirement.split('>')[0] for requirement in extra) == sorted(OPTIONAL)


# From here on: the checkers, checked with planted offenders.


@pytest.mark.parametrize(
    ('module', 'source', 'expected'),
    [
        ('adjoint.core.node', 'from adjoint.ops import sin', 'core may not import ops'),
        ('adjoint.core.node', 'from ..ops.trigonometry import sin', 'core may not import ops'),
        ('adjoint.core.node', 'from .. import ops', 'core may not import ops'),
        ('adjoint.ops.sum', 'import adjoint.execute.evaluator', 'ops may not import execute'),
        ('adjoint.autodiff.reverse', 'from adjoint.execute import run', 'may not import execute'),
        ('adjoint.execute.run', 'from adjoint.autodiff import jvp', 'may not import autodiff'),
        ('adjoint.passes.cse', 'from adjoint.autodiff import jvp', 'may not import autodiff'),
        ('adjoint.verify.numeric', 'from adjoint.cli import main', 'verify may not import cli'),
        ('adjoint.ops.sum', 'import adjoint as ad', 'not the whole package'),
        ('adjoint.ops.sum', 'from adjoint import Node', 'not the whole package'),
        ('adjoint.ops.sum', 'def f():\n    from adjoint.core import node', 'inside a function'),
        ('adjoint.ops.sum', 'def f():\n    import math', 'inside a function'),
        ('adjoint.train.plots', 'import matplotlib.pyplot as plt', 'optional dependency'),
        ('adjoint.train.plots', 'from sklearn.datasets import load_digits', 'optional dependency'),
        ('adjoint.core.node', "import_module('adjoint.ops')", 'core may not import ops'),
        ('adjoint.core.node', 'import_module(name)', 'not the whole package'),
        ('adjoint.verify.check', 'import_module(name)', 'not the whole package'),
        (
            'adjoint.core.node',
            'if TYPE_CHECKING:\n    from adjoint.ops import Sin',
            'core may not import ops',
        ),
        ('adjoint.core.node', 'class A:\n    from adjoint.ops import sin', 'may not import ops'),
    ],
)
def test_planted_violation_is_found(module: str, source: str, expected: str) -> None:
    found = violations(source, module)
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    ('module', 'source'),
    [
        ('adjoint.ops.sum', 'from adjoint.core.node import Node'),
        ('adjoint.ops.sum', 'from ..core.node import Node\nfrom . import kinds'),
        ('adjoint.train.loop', 'from adjoint.verify import check_gradients'),
        ('adjoint.train.plots', 'def plot():\n    import matplotlib.pyplot as plt'),
        ('adjoint.cli.main', 'import adjoint as ad'),
        ('adjoint.train.models', 'import adjoint as ad'),
        ('adjoint.core.node', 'import torch\nimport adjoint_of_another_package'),
    ],
)
def test_lawful_import_passes(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_relative_import_in_a_package_is_counted_from_itself() -> None:
    (item,) = imports('from .node import Node', 'adjoint.core', package=True)
    assert item.target == 'adjoint.core.node.Node'


def test_planted_cycle_between_files_is_found() -> None:
    modules = {
        'adjoint.core.a': 'from adjoint.core.b import f',
        'adjoint.core.b': 'from adjoint.core import c',
        'adjoint.core.c': 'import adjoint.core.a',
    }
    cycle = find_cycle(file_graph(modules))
    assert cycle == ['adjoint.core.a', 'adjoint.core.b', 'adjoint.core.c', 'adjoint.core.a']


def test_two_paths_to_one_file_are_no_cycle() -> None:
    assert find_cycle({'a': {'b', 'c'}, 'b': {'d'}, 'c': {'d'}, 'd': set()}) is None


@pytest.mark.parametrize(
    ('source', 'expected'),
    [
        ('sum = Sum()', ['sum']),
        ('def abs(x): ...', ['abs']),
        ('from adjoint.ops.reductions import maximum as max', ['max']),
        ('if True:\n    min: int = 0', ['min']),
        ('for range in ():\n    pass', ['range']),
        ('class C:\n    sum = 1', []),
        ('def f():\n    sum = 1', []),
        ('total = [sum for sum in ()]', []),
    ],
)
def test_planted_shadow_is_found(source: str, expected: list[str]) -> None:
    assert builtin_assignments(source) == expected


def test_decisions_are_numbered_once_each_in_name_and_title() -> None:
    pages = sorted((ROOT / 'docs' / 'decisions').glob('*.md'))
    numbers = [int(page.name[:4]) for page in pages]
    assert numbers == [*range(1, len(pages) + 1)]
    for number, page in zip(numbers, pages, strict=True):
        assert page.read_text().startswith(f'# {number}. '), page.name

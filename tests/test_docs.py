"""Everything written runs: the examples of the README, the guide and all docstrings."""

import ast
import doctest
import importlib
import inspect
import itertools
import os
import re
import shutil
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from numpydoc.validate import validate

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md')])
# What another process runs: to import it is to import a compiler.
COMPILER = 'adjoint.execute.compiler'
MODULES = sorted(
    name
    for path in ROOT.glob('adjoint/**/*.py')
    if not (
        name := '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
    ).startswith(f'{COMPILER}.')
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# What is written has to be right: known sections, in order; the parameters that exist, in order,
# each described. That a docstring exists is for ruff to say, types are in the signature, and one
# line is enough where the name says the rest, so that no check here asks for a section.
NUMPYDOC = {
    *('GL01', 'GL02', 'GL03', 'GL05', 'GL06', 'GL07'),
    *('SS02', 'SS03', 'SS04'),
    *('PR02', 'PR03', 'PR07', 'PR10'),
    'RT03',
}


@dataclass(frozen=True)
class Fence:
    """A fenced block of a page: its info string, its text and the line where the text begins."""

    info: str
    text: str
    line: int


def page_id(page: Path) -> str:
    """The page's path from the root of the repository."""
    return page.relative_to(ROOT).as_posix()


def fences(text: str) -> list[Fence]:
    """All fenced blocks of a page, in order, also those inside lists and quotations."""
    return [
        Fence(token.info.strip(), token.content, (token.map or [0])[0] + 2)
        for token in MarkdownIt().parse(text)
        if token.type == 'fence'
    ]


def run_examples(test: doctest.DocTest, namespace: dict[str, Any]) -> str:
    """Run the examples in the namespace, which keeps what they define; return what differed."""
    report: list[str] = []
    test.globs = namespace
    doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=report.append, clear_globs=False)
    return ''.join(report)


def run_page(text: str, name: str) -> int:
    """Run the Python blocks of a page from top to bottom in one namespace; return their number."""
    namespace: dict[str, Any] = {'__name__': '__main__'}
    blocks = [fence for fence in fences(text) if fence.info.split(' ')[0] in {'python', 'pycon'}]
    for fence in blocks:
        if fence.info not in {'python', 'pycon'}:
            pytest.fail(f'{name}, line {fence.line}: every block runs; got ```{fence.info}')
    # Blocks of examples that follow each other are one test, since doctest knows the source of the
    # examples of one test only, and an error message shows the line that made a node blocks before.
    for are_examples, group in itertools.groupby(blocks, key=has_prompt):
        if are_examples:
            examples = [e for fence in group for e in examples_of(fence)]
            test = doctest.DocTest(examples, namespace, name, name, 0, None)
            if report := run_examples(test, namespace):
                pytest.fail(report, pytrace=False)
            continue
        for fence in group:
            # The empty lines in front make a traceback show the line of the page.
            code = compile('\n' * (fence.line - 1) + fence.text, name, 'exec')
            exec(code, namespace)  # noqa: S102 the page's own example
    return len(blocks)


def has_prompt(fence: Fence) -> bool:
    """Whether the block is an interactive session."""
    return re.search(r'^\s*>>> ', fence.text, re.MULTILINE) is not None


def examples_of(fence: Fence) -> list[doctest.Example]:
    """The examples of a block, each with its line of the page."""
    examples = doctest.DocTestParser().get_examples(fence.text)
    for example in examples:
        example.lineno += fence.line - 1
    return examples


def docstrings(source: str) -> Iterator[tuple[str, str, int]]:
    """The name, the text and the first line of every docstring of a source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                name = 'module' if isinstance(node, ast.Module) else node.name
                yield name, text, node.body[0].lineno


@pytest.mark.parametrize('page', PAGES, ids=page_id)
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text(encoding='utf-8')
    if "executor='compiled'" in text and shutil.which(os.environ.get('CXX', 'g++')) is None:
        pytest.skip('needs a compiler of C++')
    monkeypatch.chdir(tmp_path)
    run_page(text, page_id(page))


@pytest.mark.parametrize('page', PAGES, ids=page_id)
def test_links_of_a_page_lead_to_files(page: Path) -> None:
    tokens = MarkdownIt().parse(page.read_text(encoding='utf-8'))
    links = [
        str(child.attrs.get('href') or child.attrs.get('src'))
        for token in tokens
        for child in token.children or []
        if child.type in {'link_open', 'image'}
    ]
    local = [link.split('#')[0] for link in links if not re.match(r'[a-z]+:|#', link)]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize('page', PAGES, ids=page_id)
def test_make_targets_of_a_page_exist(page: Path) -> None:
    makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
    targets = set(re.findall(r'^([a-z]+):', makefile, re.MULTILINE))
    # In code only: "to make sense of it" is no command.
    text = page.read_text(encoding='utf-8')
    code = [fence.text for fence in fences(text)] + re.findall(r'`(make [^`]*)`', text)
    named = {name for part in code for name in re.findall(r'^\s*make ([a-z]+)', part, re.MULTILINE)}
    assert named <= targets


# Straight from the source, so that no docstring is missed: doctest's own finder does not see
# wrapped functions, nor what an instance hides.
@pytest.mark.parametrize('module', MODULES)
def test_examples_of_docstrings_run(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = importlib.import_module(module)
    file = inspect.getsourcefile(loaded)
    assert file is not None
    parser = doctest.DocTestParser()
    for name, text, line in docstrings(Path(file).read_text(encoding='utf-8')):
        namespace = {**vars(loaded), '__name__': '__main__'}
        test = parser.get_doctest(text, namespace, f'{module}.{name}', file, line - 1)
        if report := run_examples(test, namespace):
            pytest.fail(report, pytrace=False)


@pytest.mark.parametrize('module', MODULES)
def test_docstrings_are_numpydoc(module: str) -> None:
    loaded = importlib.import_module(module)
    names: list[str] = []
    for name, value in vars(loaded).items():
        if name.startswith('_') or getattr(value, '__module__', '') != module:
            continue
        if typing.is_typeddict(value):  # its keys are no parameters
            continue
        if inspect.isclass(value):
            names.append(f'{module}.{name}')
            names += [
                f'{module}.{name}.{method}'
                for method, member in vars(value).items()
                if not method.startswith('_') and inspect.isfunction(member)
            ]
        elif inspect.isfunction(value):
            names.append(f'{module}.{name}')
    faults = [
        f'{name}: {code} {message}'
        for name in names
        for code, message in validate(name)['errors']
        if code in NUMPYDOC
    ]
    assert faults == []


# From here on: the runner, checked with planted pages.

PAGE = """
# A page

```python
x = 2
```

* in a list:

  ```python
  >>> x + 1
  {answer}
  ```

```console
$ not run
```
"""


def test_blocks_share_one_namespace() -> None:
    assert run_page(PAGE.format(answer=3), 'page.md') == 2


def test_wrong_answer_is_found() -> None:
    with pytest.raises(pytest.fail.Exception, match=r'line 11, in page.md(?s:.*)Got:\s+3'):
        run_page(PAGE.format(answer=4), 'page.md')


def test_failing_block_shows_its_line() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run_page('text\n\n```python\nx = 0\n1 / x\n```\n', 'page.md')
    assert caught.traceback[-1].lineno + 1 == 5


def test_block_that_does_not_run_is_refused() -> None:
    with pytest.raises(pytest.fail.Exception, match=r'line 2: every block runs; got ```python no-'):
        run_page('```python no-run\nx\n```\n', 'page.md')


def test_docstrings_of_methods_are_read() -> None:
    source = 'class A:\n    """One."""\n    def f(self):\n        """Two."""\n'
    assert list(docstrings(source)) == [('A', 'One.', 2), ('f', 'Two.', 4)]


def test_the_readme_lists_every_page_of_the_guide():
    readme = (ROOT / 'README.md').read_text()
    assert [p.name for p in ROOT.glob('docs/guide/*.md') if f'docs/guide/{p.name}' not in readme] == []

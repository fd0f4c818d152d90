"""The loop around a step: where a step is nothing but kernels, a kernel of its own, and else one of Python.

A step takes the carries, what is the same in all steps, and its number, and returns the next carries. What
Inductor writes of it is read back: memory for buffers, views of them, and calls of kernels. Of that a loop in
C++ is made, which calls the kernels of the same library. Each buffer is there twice, in turn, so that a step
does not write over the carries that it reads.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from late_kernels import LateKernel

__all__ = ['looped']

_LOOP = 'adjoint_loop'

# Other threads run meanwhile, until the end or an error.
_RELEASED = """
struct Released {
    PyThreadState* state = PyEval_SaveThread();
    ~Released() { PyEval_RestoreThread(state); }
};
"""


class _NoLoopError(Exception):
    """A step is more than calls of kernels."""


@dataclass(frozen=True)
class _Place:
    """Where a value lies.

    Parameters
    ----------
    name : str
        The operand or the buffer.
    itemsize : int
        Bytes of an entry; 0 for an operand, of which they are not known.
    offset : int
        The entries before the first one of the value.
    layout : str
        Its shape and strides, as text in Python; nothing where it is the buffer as it is.
    """

    name: str
    itemsize: int = 0
    offset: int = 0
    layout: str = ''

    @property
    def pointer(self) -> str:
        """In C++."""
        return f'{self.name} + {self.offset * self.itemsize}' if self.offset else self.name


def looped(source: str, kernels: Mapping[str, LateKernel], carries: int) -> tuple[str, dict[str, LateKernel]]:
    """Return the program of a step with a function ``loop``, and its kernels.

    The function takes a list of what a step takes without its number, then the number of the first step, by
    how much it changes from step to step, and how many steps there are; it returns the last carries.

    Parameters
    ----------
    source : str
        The program, with a function or method ``call``.
    kernels : mapping of str to LateKernel
        Those that it calls.
    carries : int
        How many of its operands, the first ones, are carries.
    """
    try:
        step = _Step(source, kernels, carries)
    except _NoLoopError:
        return f'{source}\n\n{_plain(carries)}', dict(kernels)
    return f'{source}\n\n{step.function()}', {**kernels, _LOOP: step.kernel()}


def _plain(carries: int) -> str:
    return f"""
def loop(args, first, change, count):
    carried, same = args[:{carries}], args[{carries}:]
    for i in range(first, first + change * count, change):
        carried = call([*carried, *same, i])
    return carried
"""


class _Step:
    """What a step does, read from its program."""

    def __init__(self, source: str, kernels: Mapping[str, LateKernel], carries: int) -> None:
        self._kernels = kernels
        self._places: dict[str, _Place] = {}
        self._memory: dict[str, str] = {}  # how each buffer is made, in Python
        self._calls: list[str] = []
        self._results: list[_Place] = []
        self._operands: list[str] = []
        self._number = ''
        called = [
            f for f in ast.walk(ast.parse(source)) if isinstance(f, ast.FunctionDef) and f.name == 'call'
        ]
        if len(called) != 1:
            raise _NoLoopError
        for statement in called[0].body:
            self._read(statement)
        self._carries = self._operands[:carries]
        for name, result in zip(self._carries, self._results, strict=True):
            # A carry may stay as it is; one that takes the place of another would need memory of its own.
            if result.name not in self._memory and result != _Place(name):
                raise _NoLoopError

    def function(self) -> str:
        """Return the function that calls the loop, in Python."""
        given = [*self._operands, *(f'{name}[{k}]' for name in self._memory for k in (0, 1))]
        lines = [
            'def loop(args, first, change, count):',
            f'    [{", ".join(self._operands)}] = args',
            *(f'    {name} = ({made}, {made})' for name, made in self._memory.items()),
            f'    {_LOOP}({", ".join(given)}, first, change, count)',
            '    last = (count - 1) % 2',
            f'    return [{", ".join(map(self._returned, self._results))}]',
        ]
        return '\n'.join(lines) + '\n'

    def kernel(self) -> LateKernel:
        """Return the loop, in C++."""
        pointers = [*self._operands, *(f'{name}_{k}' for name in self._memory for k in (0, 1))]
        given = [f'char* {name}' for name in pointers]
        numbers = ['int64_t first', 'int64_t change', 'int64_t count']
        lines = [
            '#include <Python.h>',
            _RELEASED,
            f'extern "C" void kernel({", ".join([*given, *numbers])}) {{',
            '    Released released;',
            '    for (int64_t n = 0; n < count; ++n) {',
            f'        const int64_t {self._number} = first + n * change;',
            *(f'        char* {name} = n % 2 ? {name}_1 : {name}_0;' for name in self._memory),
            *(f'        {call};' for call in self._calls),
            *(
                f'        {name} = {result.pointer};'
                for name, result in zip(self._carries, self._results, strict=True)
                if result.name != name
            ),
            '    }',
            '}',
        ]
        argtypes = ('char*',) * len(pointers) + ('int64_t',) * len(numbers)
        return LateKernel(argtypes, '\n'.join(lines), tuple(self._kernels.items()))

    def _returned(self, result: _Place) -> str:
        if result.name not in self._memory:
            return result.name
        buffer = f'{result.name}[last]'
        return f'reinterpret_tensor({buffer}, {result.layout}, {result.offset})' if result.layout else buffer

    def _read(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign([ast.Tuple(elts=names)], ast.Name('args')):
                *self._operands, self._number = [cast('ast.Name', name).id for name in names]
                self._places.update({name: _Place(name) for name in self._operands})
            case ast.Assign([ast.Name(name)], ast.Name(other)) if other == self._number:
                self._number = name
            case ast.Assign([ast.Name(name)], ast.Call(ast.Name('empty_strided_cpu'), made)) if _names(
                statement.value
            ) <= {'empty_strided_cpu', 'torch'}:
                dtype = getattr(torch, cast('ast.Attribute', made[2]).attr)
                self._places[name] = _Place(name, dtype.itemsize)
                self._memory[name] = ast.unparse(statement.value)
            case ast.Assign([ast.Name(name)], value):
                self._places[name] = self._place(value)
            case ast.Expr(ast.Call(ast.Name(name), given)) if name in self._kernels:
                self._calls.append(self._called(name, given))
            case ast.Return(ast.Tuple(elts=values)):
                self._results = [self._place(value) for value in values]
            case ast.Delete() | ast.Expr(ast.Call(ast.Attribute(ast.Name('args'), 'clear'))):
                pass
            case _:
                raise _NoLoopError

    def _place(self, value: ast.expr) -> _Place:
        match value:
            case ast.Name(name) if name in self._places:
                return self._places[name]
            case ast.Call(ast.Name('reinterpret_tensor'), [of, shape, strides, ast.Constant(int(offset))]):
                place = self._place(of)
                layout = f'{ast.unparse(shape)}, {ast.unparse(strides)}'
                if place.itemsize or not offset:
                    return replace(place, offset=place.offset + offset, layout=layout)
            case _:
                pass
        raise _NoLoopError

    def _called(self, name: str, given: Sequence[ast.expr]) -> str:
        """Return a call of a kernel in C++."""
        values: list[str] = []
        for value, argtype in zip(given, self._kernels[name].argtypes, strict=True):
            if not argtype.endswith('*'):
                if not _names(value) <= {self._number}:
                    raise _NoLoopError
                values.append(ast.unparse(value))
            else:
                values.append(f'reinterpret_cast<{argtype}>({self._place(value).pointer})')
        return f'{name}::kernel({", ".join(values)})'


def _names(value: ast.expr) -> set[str]:
    return {x.id for x in ast.walk(value) if isinstance(x, ast.Name)}

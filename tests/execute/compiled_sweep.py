"""The compiled executor against the reference, on every op with its gradients: many ops in one program.

The tests run a part; ``python -m tests.execute.compiled_sweep`` runs all of them, and random graphs.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

import adjoint as ad
from adjoint.execute.compiled import Compiled, CompiledProgram
from adjoint.verify.samples import Arguments, has_derivative
from benchmarks.workloads import ALL
from tests.execute.agreement import same
from tests.execute.drawn_programs import some_graphs
from tests.execute.node_by_node import inner_nodes
from tests.execute.rounding import outside, reach
from tests.execute.test_plan import derivatives, outputs
from tests.ops.cases import CASES

WRONG = 'wrong:'


@dataclass
class Whole:
    """Graphs side by side."""

    nodes: list[ad.Node]
    values: dict[ad.Node, torch.Tensor]
    names: list[str]  # one for each node


def of_ops(names: Sequence[str]) -> Iterator[Whole]:
    """The samples of some ops, each with what is computed and its gradients."""
    for name in names:
        case = CASES[name]
        for i, given in enumerate([*case.samples, *(sample for sample, _ in case.conventions)]):
            arguments = Arguments(given, wide=False)
            variables = arguments.variables('typed')
            values = dict(zip(variables, arguments.values, strict=True))
            by = [x for x, value in values.items() if has_derivative(value)]
            nodes = outputs(arguments.call(case.build, variables))
            nodes = [*nodes, *derivatives(nodes, by)]
            try:
                ad.Evaluator(nodes, executor='reference').run(values)
            except (RuntimeError, ValueError, TypeError, IndexError):
                continue
            yield Whole(nodes, values, [f'{name}[{i}]'] * len(nodes))


def of_random_graphs(count: int, seed: int = 0) -> Iterator[Whole]:
    """Graphs drawn at random."""
    for i, drawn in enumerate(some_graphs(count, seed)):
        yield Whole(drawn.outputs, drawn.values, [f'random graph {i}'] * len(drawn.outputs))


def of_workloads() -> Iterator[Whole]:
    """The workloads of the benchmark, each with its gradients and updates."""
    for workload in ALL:
        given = workload.make()
        variables, nodes = workload.nodes(given)
        yield Whole(nodes, dict(zip(variables, given, strict=True)), [workload.name] * len(nodes))


def together(parts: Sequence[Whole]) -> Whole:
    """Graphs as one."""
    values: dict[ad.Node, torch.Tensor] = {}
    for part in parts:
        values.update(part.values)
    return Whole([n for p in parts for n in p.nodes], values, [n for p in parts for n in p.names])


def by_node(part: Whole) -> Whole:
    """A graph of which every node is computed, and compared."""
    nodes = inner_nodes(part.nodes)
    return Whole(nodes, part.values, [f'{part.names[0]}, {node}' for node in nodes])


def program_of(whole: Whole, executor: Compiled) -> Any:
    """The program of a graph, which agrees with the reference."""
    evaluator = ad.Evaluator(whole.nodes, executor=executor)
    before = {node: value.clone() for node, value in whole.values.items()}
    wanted = ad.Evaluator(whole.nodes, executor='reference').run(whole.values)
    for _ in range(2):
        results = evaluator.run(whole.values)
        for node, name, found, theirs in zip(whole.nodes, whole.names, results, wanted, strict=True):
            is_right = close(found, theirs) or rounds_so(node, whole.values, found)
            assert is_right, f'{name}: {found} instead of {theirs}'
    for node, value in whole.values.items():
        assert same(value, before[node]), f'{node} was changed'
    programs = evaluator._programs_for(whole.values)
    return programs.program([whole.values[node] for node in programs.task.fed])


def refused(program: Any) -> list[str]:
    """Why parts that can be written as calls of ATen are not compiled."""
    if not isinstance(program, CompiledProgram):
        return []
    return [p.why for p in program._pieces if p.part.is_written and p.why]


def kept(program: Any) -> list[str]:
    """The ops that cannot be written as calls of ATen."""
    if not isinstance(program, CompiledProgram):
        return []
    return [node.op.name for p in program._pieces if not p.part.is_written for node in p.part.nodes]


def is_whole(state: str) -> bool:
    """Whether all nodes are compiled, as one program."""
    return re.fullmatch(r'compiled: (\d+) of \1 nodes, in 1 program', state) is not None


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float | None = None) -> bool:
    """Whether two results are the same but for rounding, to a tolerance: by default that of their dtype."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if not (b.is_floating_point() or b.is_complex()):
        return torch.equal(a, b)
    tolerance = tolerance or (1e-10 if b.dtype in {torch.float64, torch.complex128} else 1e-4)
    wide = torch.complex128 if b.is_complex() else torch.float64
    a, b = a.to(wide), b.to(wide)
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


def rounds_so(node: ad.Node, values: dict[ad.Node, torch.Tensor], found: torch.Tensor) -> bool:
    """Whether rounding on the way, which may be in single precision, can take a node to a value."""
    try:
        may_be = reach([node], values)
    except ad.TensorTypeError:  # the body of a loop is not run in double precision
        theirs = ad.Evaluator([node], executor='reference').run(values)[0]
        return has_single(node, values) and close(found, theirs, 1e-4)
    return may_be is not None and not bool(outside(found, may_be[0]).any())


def has_single(node: ad.Node, values: dict[ad.Node, torch.Tensor]) -> bool:
    """Whether there are numbers in single precision on the way to a node."""
    nodes = ad.topological_sort([node])
    given = ad.Evaluator(nodes, executor='reference').run(values)
    return any(x.dtype in {torch.float32, torch.complex64} for x in given)


def sweep(parts: Sequence[Whole], executor: Compiled, about: dict[str, str]) -> None:
    """Compile graphs together; what is refused or wrong is found by halves."""
    try:
        program = program_of(together(parts), executor)
        whys = refused(program)
    except AssertionError as error:
        program, whys = None, [f'{WRONG} {error}']
    for name in kept(program):
        about.setdefault(f'kept {name}', '')
    if whys and len(parts) > 1:
        middle = len(parts) // 2
        sweep(parts[:middle], executor, about)
        sweep(parts[middle:], executor, about)
    elif whys:
        about[parts[0].names[0]] = '; '.join(whys)


def main() -> int:
    """Compile all; 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--only', nargs='*', default=list(CASES))
    parser.add_argument('--chunk', type=int, default=50)
    parser.add_argument('--random', type=int, default=1000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--nodes', action='store_true', help='compare every node, and not the results alone')
    parser.add_argument('--workloads', action='store_true')
    parser.add_argument('--threads', type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    executor = Compiled()
    about: dict[str, str] = {}
    parts = [*of_ops(given.only), *of_random_graphs(given.random, given.seed)]
    for workload in of_workloads() if given.workloads else ():
        sweep([workload], executor, about)
    parts = [by_node(part) for part in parts] if given.nodes else parts
    for start in range(0, len(parts), given.chunk):
        sweep(parts[start : start + given.chunk], executor, about)
        print(f'{start + given.chunk} of {len(parts)} graphs', flush=True)  # noqa: T201 what the command is for
    for name, why in about.items():
        print(f'{name}: {why}')  # noqa: T201
    return int(any(why.startswith(WRONG) for why in about.values()))


if __name__ == '__main__':
    sys.exit(main())

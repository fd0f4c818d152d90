"""The evaluator: it takes values for nodes, and runs the program of their signature."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.graph import Stepper, hand_over_runner
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.execute.auto import Auto
from adjoint.execute.compiled import Compiled
from adjoint.execute.cudagraph import CudaGraph
from adjoint.execute.executor import Executor, Task
from adjoint.execute.feed import check_keys, missing, names_sizes, naming
from adjoint.execute.memory import Memory, bytes_of
from adjoint.execute.memory_forecast import forecast
from adjoint.execute.memory_signature import Given, naming_all
from adjoint.execute.plan import Plan
from adjoint.execute.programs import Programs
from adjoint.execute.recent import Recent
from adjoint.execute.reference import Reference
from adjoint.ops.creation import placeholder
from adjoint.passes.pipeline import LEVELS, Level

__all__ = ['EXECUTORS', 'Evaluator']

EXECUTORS: Mapping[str, Executor] = MappingProxyType(
    {
        'auto': Auto(),
        'compiled': Compiled(),
        'cudagraph': CudaGraph(),
        'plan': Plan(),
        'reference': Reference(),
    }
)

_NOTHING: Mapping[Any, Any] = MappingProxyType({})

# How many ways to feed its nodes an evaluator remembers.
_WAYS = 64


class Evaluator:
    """Computes nodes from the values of their inputs.

    Parameters
    ----------
    eval_nodes : sequence of Node
        What every run returns the values of.
    executor : str or Executor
        How they are computed: ``'plan'`` writes a straight-line program for each new signature of the
        values, ``'reference'`` takes one node after the other. Both give the same results. ``'compiled'``
        gives the graph to a compiler, and its results differ by rounding; ``'auto'`` starts with the plan
        and goes over to that where it is faster; ``'cudagraph'`` records the plan on a GPU.
    optimize : {'none', 'bitwise', 'default', 'fast'}
        Which rewrites a program may apply: see :func:`adjoint.optimize`. The reference applies none. At
        ``'bitwise'`` all runs have the same bits; at ``'default'`` values may be closer to the true ones,
        and at ``'fast'`` they are rounded in another way.
    memory_budget : int or str, optional
        How much memory a run of the plan may take beside the values that it is given: bytes, or such as
        ``'2 GiB'`` or ``'500 MB'``. Values are then given up and computed again where that is needed, with
        as little extra time as is found. What it costs is told by :meth:`memory`.

    Raises
    ------
    ValueError
        The executor, the level or the budget is none.

    Notes
    -----
    One evaluator serves any shapes and dtypes that the types of its variables allow, call after call, also
    from several threads. Values are freed after their last use. Nothing is recorded for torch's autograd.
    No run changes what an earlier one returned. A result may share memory: an input or a constant with what
    was given, an op that is a view in torch (``transpose``, ``expand``) with its operand, and one node that
    is asked for twice, such as both gradients of ``x + y``, with itself. Write into a ``clone`` of it.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x')
    >>> ad.Evaluator([x * x]).run({x: torch.tensor([1.0, 2.0])})
    [tensor([1., 4.])]
    """

    def __init__(
        self,
        eval_nodes: Sequence[Node],
        executor: str | Executor = 'plan',
        optimize: Level = 'bitwise',
        memory_budget: int | str | None = None,
    ) -> None:
        if isinstance(eval_nodes, Node):
            msg = 'Evaluator takes a list of nodes: write Evaluator([y])'
            raise TensorTypeError(msg)
        self.eval_nodes = list(eval_nodes)
        for node in self.eval_nodes:
            if not isinstance(node, Node):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
                msg = f'Evaluator takes nodes, and got {node!r} of type {type(node).__name__}'
                raise TensorTypeError(msg)
        self._executor = _executor(executor)
        self._level: Level = _level(optimize)
        self._budget = None if memory_budget is None else _budget(memory_budget, self._executor)
        self._position = {node: i for i, node in enumerate(topological_sort(self.eval_nodes))}
        # By the keys of a dictionary in their order, and by the nodes among them that matter in ours.
        self._by_keys: Recent[Programs] = Recent(_WAYS)
        self._by_nodes: Recent[Programs] = Recent(_WAYS)

    def run(self, input_values: Mapping[Node, torch.Tensor]) -> list[torch.Tensor]:
        """Compute the values of the nodes.

        Parameters
        ----------
        input_values : mapping of Node to torch.Tensor
            A value for every variable that is needed. NumPy arrays and Python numbers are converted.
            A value may be given for an inner node too; nothing behind it is then computed. Other keys
            are ignored.

        Returns
        -------
        list of torch.Tensor
            In the order of ``eval_nodes``.

        Raises
        ------
        MissingInputError
            Variables without a value; all of them are named.
        ShapeError, TensorTypeError
            A value does not fit the type of its variable, or is no tensor.
        """
        programs = self._programs_for(input_values)
        return programs.run([input_values[node] for node in programs.task.fed])

    def run_in_place(self, input_values: Mapping[Node, torch.Tensor]) -> list[torch.Tensor]:
        """Compute the values as part of another computation, which torch's autograd records if it does that.

        As :meth:`run` otherwise: for ops that hold a graph, and compute it.
        """
        programs = self._programs_for(input_values)
        values = [input_values[node] for node in programs.task.fed]
        return programs.record(values) if torch.is_grad_enabled() else programs.run(values)

    def over(self, inputs: Sequence[Node]) -> Callable[[Sequence[torch.Tensor]], list[torch.Tensor]]:
        """Return the run as a function of the values of these nodes, in this order: for loops.

        Raises
        ------
        MissingInputError
            A variable that is needed is not among them.

        Examples
        --------
        >>> import torch, adjoint as ad
        >>> x, y = ad.Variable('x'), ad.Variable('y')
        >>> less = ad.Evaluator([x - y]).over([y, x])
        >>> less([torch.tensor(1.0), torch.tensor(3.0)])
        [tensor(2.)]
        """
        programs = self._programs_of(inputs)
        places = [inputs.index(node) for node in programs.task.fed]
        if places == list(range(len(inputs))):
            return programs.run
        run = programs.run
        return lambda values: run([values[i] for i in places])

    def stepper(self, inputs: Sequence[Node]) -> Stepper:
        """Return the run as part of another computation, as a function of the values of these nodes.

        It gives the program of the values beside the results, if there is one. Values that are laid out
        alike (in shape, strides, dtype and device) can go to the program itself, unseen.
        """
        return self._programs_in_order(tuple(inputs)).step

    def program(self, input_values: Mapping[Node, torch.Tensor]) -> str:
        """Return the program that a run with values like these executes, as text.

        Parameters
        ----------
        input_values : mapping of Node to torch.Tensor
            As for :meth:`run`; the first call with their signature runs once.

        Examples
        --------
        >>> import torch, adjoint as ad
        >>> x = ad.Variable('x')
        >>> text = ad.Evaluator([ad.sin(x) * x]).program({x: torch.ones(3)})
        >>> [line.split('#')[0].strip() for line in text.splitlines() if line.strip()[0] != '#']
        ['def program(values):', '(x,) = values', 'v0 = sin(x)', 'v1 = v0.mul_(x); del v0', 'return [v1]']
        """
        programs = self._programs_for(input_values)
        return programs.program([input_values[node] for node in programs.task.fed]).source

    def state(self, input_values: Mapping[Node, torch.Tensor]) -> str:
        """Return in a few words what runs for values like these, and how much of it is compiled.

        Parameters
        ----------
        input_values : mapping of Node to torch.Tensor
            As for :meth:`run`; the first call with their signature runs once.

        Examples
        --------
        >>> import torch, adjoint as ad
        >>> x = ad.Variable('x')
        >>> ad.Evaluator([ad.sin(x) * x], executor='plan').state({x: torch.ones(3)})
        'plan: 2 lines'
        """
        programs = self._programs_for(input_values)
        return programs.program([input_values[node] for node in programs.task.fed]).state

    def memory(self, given: Mapping[Node, Given] = _NOTHING, sizes: Mapping[str, int] = _NOTHING) -> Memory:
        """Return how much memory a run takes, when, and for which lines; nothing is computed.

        Parameters
        ----------
        given : mapping of Node, optional
            For variables, or inner nodes, that get a value: its ``(shape, dtype)``, its type, or a tensor
            like it. Variables whose own type says it can be left out.
        sizes : mapping of str to int, optional
            Numbers for the sizes that types name.

        Returns
        -------
        Memory
            Of the program that ``executor='plan'`` runs, from its second run with a signature on. Its text
            is a table of what is alive at the peak, and of what takes the time.

        Raises
        ------
        TensorTypeError
            The shape or dtype of a variable is not known.
        UnsupportedOpError
            The size of a value depends on the data.
        BudgetError
            No run fits in the memory budget of the evaluator.

        Examples
        --------
        >>> import torch, adjoint as ad
        >>> x = ad.Variable('x')
        >>> y = ad.sum(ad.exp(x @ x))
        >>> ad.Evaluator([y]).memory({x: ((100, 100), torch.float32)}).peak_bytes
        40004
        """
        check_keys(given)
        needed = topological_sort(self.eval_nodes, behind=frozenset(given))
        variables = (node for node in needed if node.op is placeholder)
        executor = self._executor if isinstance(self._executor, Plan) else Plan()
        return forecast(
            self._programs_of([*given, *variables, *naming_all(sizes)]).task, executor, given, sizes
        )

    def _programs_for(self, input_values: Mapping[Node, torch.Tensor]) -> Programs:
        try:
            keys = tuple(input_values)
            found = self._by_keys.get(keys)
        except TypeError:  # no mapping, or keys without a hash
            keys, found = (), None
        if found is None:
            check_keys(input_values)
            found = self._by_keys.put(keys, self._programs_of(input_values))
        return found

    def _programs_of(self, given: Iterable[Node]) -> Programs:
        """Return the programs for values of these nodes, without those that do not matter."""
        position = self._position
        given = list(given)
        fed = tuple(sorted((node for node in given if node in position), key=position.__getitem__))
        sized = tuple(node for node in given if node not in position and names_sizes(node))
        return self._programs_in_order(fed, sized)

    def _programs_in_order(self, fed: tuple[Node, ...], sized: tuple[Node, ...] = ()) -> Programs:
        found = self._by_nodes.get(fed + sized)
        if found is None:
            is_cut = any(node.inputs for node in fed)
            needed = topological_sort(self.eval_nodes, behind=frozenset(fed)) if is_cut else self._position
            lacking = [node for node in needed if node.op is placeholder and node not in fed]
            if lacking:
                raise missing(lacking)
            # What is used for nothing but a size by name is behind no node.
            given = fed + naming(needed, fed, sized)
            task = Task(tuple(self.eval_nodes), given, self._level, budget=self._budget)
            found = self._by_nodes.put(fed + sized, Programs(task, self._executor))
        return found


def _executor(given: str | Executor) -> Executor:
    if not isinstance(given, str):
        return given
    if given not in EXECUTORS:
        msg = f'an executor is one of {", ".join(sorted(EXECUTORS))}; got {given!r}'
        raise ValueError(msg)
    return EXECUTORS[given]


def _level(given: Level) -> Level:
    if given not in LEVELS:
        msg = f'a level is one of {", ".join(LEVELS)}; got {given!r}'
        raise ValueError(msg)
    return given


def _budget(given: int | str, executor: Executor) -> int:
    if not isinstance(executor, Plan):
        msg = "a memory budget is kept by the plan: write Evaluator(..., executor='plan', memory_budget=...)"
        raise ValueError(msg)  # noqa: TRY004 the choice of executor is wrong, not a type
    return bytes_of(given)


hand_over_runner(Evaluator)

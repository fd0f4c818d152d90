"""The node: one value of the graph, immutable, compared by identity."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import CodeType
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import torch

from adjoint.core import births, table
from adjoint.core.copying import PackReference, deep_copy, packed, unpacked
from adjoint.core.errors import NoSuchAttribute, TensorTypeError, UnsupportedOpError
from adjoint.core.extent import extents_of, resolved_attrs
from adjoint.core.inference import infer_type
from adjoint.core.operators import Operators
from adjoint.core.source import Location, Site, calling_site, location_of
from adjoint.core.tensor_type import TensorType
from adjoint.core.wording import bounded, described

if TYPE_CHECKING:
    from adjoint.core.op import Op

__all__ = ['Node', 'Number', 'Operand']

Number: TypeAlias = bool | int | float | complex


class Node(Operators):
    """A value in a graph: an op applied to the values of other nodes.

    Nodes are made by calling ops, and by the operators ``+ - * / // % ** @ > >= < <= & | ^ ~ abs()`` and
    indexing, with nodes, tensors and Python numbers on either side. ``==`` compares identity, so nodes are
    dictionary keys. A node never changes.

    Parameters
    ----------
    inputs : sequence of Node
        The operands that are tensors.
    op : Op
        What computes the value and its derivative.
    attrs : mapping of str, optional
        Everything that is not a tensor; the node keeps a copy of its own.
    name : str, optional
        For people; bounded, never an identity. Without one the node is named by its op and operands.
    type : TensorType, optional
        Of a node whose op does not infer it: variables and constants.

    Raises
    ------
    TensorTypeError
        An input is not a node.
    ShapeError
        The types of the inputs are known and the op cannot work on them.

    Examples
    --------
    >>> import adjoint as ad
    >>> x = ad.Variable('x')
    >>> y = 2 * x + 1
    >>> y.op.name, y.constant, str(y.inputs[0])
    ('add', 1, 'mul(2, x)')
    """

    __slots__ = ('__weakref__', 'attrs', 'given_name', 'inputs', 'instruction', 'op', 'pack', 'place', 'type')

    inputs: 'list[Node]'
    op: 'Op'
    attrs: dict[str, Any]
    type: TensorType | None
    given_name: str
    place: CodeType | Location  # with the instruction, the location before it is rendered
    instruction: int
    pack: 'PackReference | None'  # where a pickle in progress has put the node

    def __init__(
        self,
        inputs: 'Sequence[Node]',
        op: 'Op',
        attrs: Mapping[str, Any] | None = None,
        name: str = '',
        type: TensorType | None = None,
    ) -> None:
        inputs = list(inputs)
        inferable = type is None
        for given in inputs:
            if given.__class__ is not Node:
                msg = (
                    f'an input of {op!r} is {described(given)}, and a node takes nodes: wrap a tensor or '
                    f'number in adjoint.constant(...), or call the op, which does it for you'
                )
                raise TensorTypeError(msg)
            if given.type is None:
                inferable = False
        _set_inputs(self, inputs)
        _set_op(self, op)
        attrs = dict(attrs) if attrs else {}
        for name_of_attr, value in attrs.items():
            if value.__class__ is Node:
                raise _no_number(op, name_of_attr, value)
        _set_attrs(self, attrs)
        _set_name(self, name)
        place, instruction = calling_site()
        _set_place(self, place)
        _set_instruction(self, instruction)
        _set_pack(self, None)
        _set_type(self, infer_type(self) if inferable else type)
        births.note(self)

    def __setattr__(self, name: str, value: object) -> None:
        msg = (
            f'a node never changes, so its {name!r} cannot be set: build a new node, such as '
            f'Node(node.inputs, node.op, node.attrs, name=...)'
        )
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> None:
        msg = f'a node never changes, so its {name!r} cannot be deleted'
        raise AttributeError(msg)

    # -- what people read ---------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The given name, or one made of the op and its operands; at most 40 characters."""
        if self.given_name:
            return self.given_name
        described = self.op.describe(self, [i.given_name or i.op.name for i in self.inputs])
        return bounded(described)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f'<Node {self.name}{"" if self.type is None else f": {self.type}"}>'

    @property
    def location(self) -> Location:
        """The line of the user's source that made the node."""
        return location_of(self.site)

    @property
    def site(self) -> Site:
        """The location before it is rendered: what a node that takes the place of this one is given."""
        # Two slots instead of one that holds a pair: a container less for the garbage collector to visit.
        return self.place, self.instruction

    def __getattr__(self, name: str) -> Any:
        # Reached only for names that are not of the class: an entry of attrs, then a tensor method.
        if name.startswith('__'):
            raise AttributeError(name)
        if name in self.attrs:
            return self.attrs[name]
        attribute = table.ATTRIBUTES.get(name)
        own: Any = None if name.startswith('_') else getattr(torch.Tensor, name, None)
        if hasattr(own, '__set__'):  # an attribute of tensors, such as `real`
            return table.called_on_nodes(own.__get__, self) if attribute is None else attribute(self)
        if callable(own):
            return partial(table.called_on_nodes, own, self)
        msg = (
            f"node '{self}' of op {self.op.name} has no attribute {name!r}; its attrs are "
            f'{sorted(self.attrs)}\n{self.location}'
        )
        raise NoSuchAttribute(msg)

    # -- what is known of the value -----------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the value, where all are known as numbers."""
        if self.type is None or (sizes := self.type.shape) is None:
            self._unknown('shape', 'Variable(..., shape=(...))')
        known = tuple(s for s in sizes if isinstance(s, int))
        if len(known) < len(sizes):
            self._unknown('shape as numbers', f'an op that needs no size; it is {self.type}')
        return known

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the value, where it is known."""
        if self.type is None or self.type.dtype is None:
            self._unknown('dtype', 'Variable(..., dtype=...)')
        return self.type.dtype

    @property
    def device(self) -> torch.device:
        """Device of the value, where it is known."""
        if self.type is None or self.type.device is None:
            self._unknown('device', 'Variable(..., device=...)')
        return self.type.device

    @property
    def ndim(self) -> int:
        """Number of axes, where it is known."""
        if self.type is None or self.type.shape is None:
            self._unknown('number of axes', 'Variable(..., shape=(...))')
        return len(self.type.shape)

    def dim(self) -> int:
        """Return the number of axes, where it is known."""
        return self.ndim

    def size(self, dim: int | None = None) -> tuple[int, ...] | int:
        """Return all sizes or that of one axis, where they are known."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """Return the number of entries, where it is known."""
        return math.prod(self.shape)

    def _unknown(self, what: str, remedy: str) -> NoReturn:
        msg = f"the {what} of node '{self}' is not known before the run: use {remedy}\n{self.location}"
        raise TensorTypeError(msg)

    # -- what a value could do and a node cannot ----------------------------------------------

    def __bool__(self) -> bool:  # noqa: PLE0304 it always raises
        self._no_value('a condition', 'where(condition, a, b)')

    def __float__(self) -> float:
        self._no_value('a Python number', 'Evaluator([node]).run({...})')

    def __int__(self) -> int:
        self._no_value('a Python number', 'Evaluator([node]).run({...})')

    __index__ = __int__

    def __complex__(self) -> complex:
        self._no_value('a Python number', 'Evaluator([node]).run({...})')

    def item(self) -> float:
        """Raise: a node has no value yet."""
        self._no_value('a Python number', 'Evaluator([node]).run({...})')

    def tolist(self) -> list[Any]:
        """Raise: a node has no value yet."""
        self._no_value('a list', 'Evaluator([node]).run({...})')

    def __array__(self, *_: object, **__: object) -> NoReturn:
        self._no_value('a NumPy array', 'Evaluator([node]).run({...})')

    def _no_value(self, what: str, remedy: str) -> NoReturn:
        msg = (
            f"node '{self}' is a value that is not computed yet, so it cannot be {what}: "
            f'use {remedy}\n{self.location}'
        )
        raise TensorTypeError(msg)

    def __len__(self) -> int:
        if self.ndim == 0:
            msg = f"node '{self}' has no axes, so no length\n{self.location}"
            raise TensorTypeError(msg)
        return self.shape[0]

    def __iter__(self) -> 'Iterator[Node]':
        return (self[i] for i in range(len(self)))

    def __contains__(self, item: object) -> bool:
        self._no_value('searched', '(node == item) through adjoint.eq')

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return table.called_on_nodes(func, *args, **(kwargs or {}))

    def __pos__(self) -> 'Node':
        return self

    # -- copies -------------------------------------------------------------------------------

    def __copy__(self) -> 'Node':
        return self.restored(self.inputs, self.op, dict(self.attrs), self.given_name, self.site, self.type)

    def __deepcopy__(self, memo: dict[int, Any]) -> 'Node':
        return deep_copy(self, memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return unpacked, packed(self)

    @classmethod
    def restored(
        cls,
        inputs: 'Sequence[Node]',
        op: 'Op',
        attrs: dict[str, Any],
        name: str,
        site: Site,
        known: TensorType | None,
    ) -> 'Node':
        """Build a node from its fields as they are, with no check and no inference."""
        node = cls.__new__(cls)
        _set_inputs(node, list(inputs))
        _set_op(node, op)
        _set_attrs(node, attrs)
        _set_name(node, name)
        _set_place(node, site[0])
        _set_instruction(node, site[1])
        _set_type(node, known)
        _set_pack(node, None)
        return node

    def with_sizes(self, sizes: Mapping[str, int]) -> 'Node':
        """Return the node, for its op to compute, with numbers for the sizes that its attrs hold by name."""
        if not extents_of(self.attrs):
            return self
        return self.restored(self.inputs, self.op, resolved_attrs(self.attrs, sizes), '', self.site, None)

    def remember_pack(self, reference: PackReference) -> None:
        """Note where a pickle in progress keeps the node."""
        _set_pack(self, reference)


def _no_number(op: 'Op', attr: str, value: object) -> UnsupportedOpError:
    return UnsupportedOpError(
        f"{attr} of {op.name} is a number that is known before the run, and got node '{value}', whose value "
        f'is not: pass a Python number, or write it with ops that take nodes\n{location_of(calling_site())}'
    )


# What an operator or an op takes: torch tensors and Python numbers become constants.
Operand: TypeAlias = Node | torch.Tensor | Number

# A slot's own descriptor writes it where __setattr__ refuses to.
_set_inputs = Node.__dict__['inputs'].__set__
_set_op = Node.__dict__['op'].__set__
_set_attrs = Node.__dict__['attrs'].__set__
_set_name = Node.__dict__['given_name'].__set__
_set_place = Node.__dict__['place'].__set__
_set_instruction = Node.__dict__['instruction'].__set__
_set_type = Node.__dict__['type'].__set__
_set_pack = Node.__dict__['pack'].__set__

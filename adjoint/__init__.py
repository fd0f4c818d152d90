"""Automatic differentiation on PyTorch tensors in which the derivative is a graph that you can hold.

Three levels, one graph: ``Variable``, ops, ``gradients`` and ``Evaluator``; ``grad`` and ``value_and_grad``
of plain Python functions; and the tools that take what either makes: ``check_op``, ``check_gradients``,
``numeric``, ``symbolic``, ``to_text``, ``to_latex``.
"""

import importlib
from typing import TYPE_CHECKING, Any

from adjoint.autodiff.batching.walk import batched
from adjoint.autodiff.connection import Connection, explain_connection
from adjoint.autodiff.forward import pushforward
from adjoint.autodiff.gradients import gradients
from adjoint.autodiff.taylor import taylor
from adjoint.autodiff.sparse import SparseDerivative, sparse_hessian, sparse_jacobian
from adjoint.autodiff.sparsity import sparsity
from adjoint.autodiff.jacobians import hessian_products, hessians, jacobians
from adjoint.core.errors import (
    AdjointError, BudgetError, ConvergenceError, MissingInputError, NonDifferentiableError, NoSuchAttribute,
    RuleError, ShapeError, TensorTypeError, UnsupportedOpError,
)  # fmt: skip
from adjoint.core.graph import Graph
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.core.source import Location
from adjoint.core.table import hand_over_import
from adjoint.core.tensor_type import TensorType
from adjoint.execute.cost import Rates, measured_rates
from adjoint.execute.evaluator import Evaluator
from adjoint.execute.memory import Memory
from adjoint.flow.custom import CustomOp, custom_op
from adjoint.flow.map import Map
from adjoint.ops import registry
from adjoint.ops.activation import (
    gelu, log_sigmoid, log_softmax, relu, sigmoid, silu, softmax, softplus,
)  # fmt: skip
from adjoint.ops.arithmetic import (
    abs_ as abs, add, add_by_const, div, div_by_const, mul, mul_by_const, neg, pow_ as pow, reciprocal,
    rsqrt, sgn, sqrt, square, sub,
)  # fmt: skip
from adjoint.ops.contract import (
    AddByConstOp, AddOp, BroadcastOp, DivByConstOp, DivOp, ExpandAsOp, ExpandAsOp3d, GreaterThanOp,
    LayerNormOp, LogOp, MatMulLayerNormOp, MatMulOp, MatMulSoftmaxOp, MeanOp, MulByConstOp, MulOp,
    OnesLikeOp, PlaceholderOp, PowerOp, ReLUOp, SoftmaxOp, SqrtOp, SubOp, SumOp, TransposeOp, ZerosLikeOp,
    power, sum_op,
)  # fmt: skip
from adjoint.ops.contraction import (
    matmul,
)  # fmt: skip
from adjoint.ops.creation import (
    Variable, constant, ones_like, placeholder, zeros_like,
)  # fmt: skip
from adjoint.ops.exponential import (
    erf, erfc, exp, expm1, log, log10, log1p, log2,
)  # fmt: skip
from adjoint.ops.flowing import clip_gradient, reverse_gradient, scale_gradient
from adjoint.ops.index import (
    gather, getitem, index_add, index_select, scatter_add, ungetitem,
)  # fmt: skip
from adjoint.ops.kinds import (
    Binary, Creation, Elementwise, Fused, Linear, Multilinear, Reduction, Step, Unary,
)  # fmt: skip
from adjoint.ops.linear import (
    alias, broadcast, broadcast_to, cast, conj, expand_as, expand_like, imag, real, sum_to_like,
)  # fmt: skip
from adjoint.ops.moments import std, var
from adjoint.ops.normalise import (
    layernorm, matmul_layernorm, matmul_softmax,
)  # fmt: skip
from adjoint.ops.reduction import (
    amax, amin, argmax, argmin, cumsum, logsumexp, mean, sum_ as sum,
)  # fmt: skip
from adjoint.ops.select import (
    clamp, maximum, minimum, where,
)  # fmt: skip
from adjoint.ops.shape import (
    cat, expand_as_3d, flatten, flip, permute, reshape, reshape_like, squeeze, stack, transpose, tril,
    triu, unsqueeze,
)  # fmt: skip
from adjoint.ops.step import (
    ceil, eq, floor, ge, greater, greater_equal, gt, le, lt, ne, preference, round_ as round, sign, trunc,
)  # fmt: skip
from adjoint.ops.trigonometric import (
    acos, acosh, asin, asinh, atan, atan2, atanh, cos, cosh, hypot, sin, sinh, tan, tanh,
)  # fmt: skip
from adjoint.ops.torch_names import detach, max_ as max, min_ as min
from adjoint.passes.pipeline import optimize, stabilize
from adjoint.ops.torch_names import detach as stop_gradient
from adjoint.passes.specialize import specialized
from adjoint.transform.control import cond, switch
from adjoint.transform.gradient import grad, value_and_grad
from adjoint.transform.loops import fori_loop, scan, while_loop
from adjoint.transform.taylor import derivative, directional, jet, laplacian
from adjoint.transform.vmap import vmap
from adjoint.transform.jacobian import hessian, jacfwd, jacobian, jacrev
from adjoint.transform.products import ggnvp, hvp, jvp
from adjoint.transform.pullback import linearize, vjp
from adjoint.transform.recompute import checkpoint
from adjoint.transform.train_step import train_step
from adjoint.verify import numeric
from adjoint.view.passes import explain_passes
from adjoint.view.text import to_text

if TYPE_CHECKING:
    from adjoint.interop.from_torch import from_torch
    from adjoint.transform.implicit import implicit
    from adjoint.interop.on_nodes import called_on_nodes as called_on_nodes
    from adjoint.verify import symbolic
    from adjoint.verify.check import check_gradients, check_op
    from adjoint.verify.kinks import kinks
    from adjoint.view.latex import to_latex

__all__ = [
    'AddByConstOp',
    'AddOp',
    'AdjointError',
    'Binary',
    'BroadcastOp',
    'BudgetError',
    'Connection',
    'ConvergenceError',
    'Creation',
    'CustomOp',
    'DivByConstOp',
    'DivOp',
    'Elementwise',
    'Evaluator',
    'ExpandAsOp',
    'ExpandAsOp3d',
    'Fused',
    'Graph',
    'GreaterThanOp',
    'LayerNormOp',
    'Linear',
    'Location',
    'LogOp',
    'Map',
    'MatMulLayerNormOp',
    'MatMulOp',
    'MatMulSoftmaxOp',
    'MeanOp',
    'Memory',
    'MissingInputError',
    'MulByConstOp',
    'MulOp',
    'Multilinear',
    'NoSuchAttribute',
    'Node',
    'NonDifferentiableError',
    'OnesLikeOp',
    'Op',
    'PlaceholderOp',
    'PowerOp',
    'Rates',
    'ReLUOp',
    'Reduction',
    'RuleError',
    'ShapeError',
    'SoftmaxOp',
    'SparseDerivative',
    'SqrtOp',
    'Step',
    'SubOp',
    'SumOp',
    'TensorType',
    'TensorTypeError',
    'TransposeOp',
    'Unary',
    'UnsupportedOpError',
    'Variable',
    'ZerosLikeOp',
    '__version__',
    'abs',
    'acos',
    'acosh',
    'add',
    'add_by_const',
    'alias',
    'amax',
    'amin',
    'argmax',
    'argmin',
    'asin',
    'asinh',
    'atan',
    'atan2',
    'atanh',
    'batched',
    'broadcast',
    'broadcast_to',
    'cast',
    'cat',
    'ceil',
    'check_gradients',
    'check_op',
    'checkpoint',
    'clamp',
    'clip_gradient',
    'cond',
    'conj',
    'constant',
    'cos',
    'cosh',
    'cumsum',
    'custom_op',
    'derivative',
    'detach',
    'directional',
    'div',
    'div_by_const',
    'eq',
    'erf',
    'erfc',
    'exp',
    'expand_as',
    'expand_as_3d',
    'expand_like',
    'explain_connection',
    'explain_passes',
    'expm1',
    'flatten',
    'flip',
    'floor',
    'fori_loop',
    'from_torch',
    'gather',
    'ge',
    'gelu',
    'getitem',
    'ggnvp',
    'grad',
    'gradients',
    'greater',
    'greater_equal',
    'gt',
    'hessian',
    'hessian_products',
    'hessians',
    'hvp',
    'hypot',
    'imag',
    'implicit',
    'index_add',
    'index_select',
    'jacfwd',
    'jacobian',
    'jacobians',
    'jacrev',
    'jet',
    'jvp',
    'kinks',
    'laplacian',
    'layernorm',
    'le',
    'linearize',
    'log',
    'log1p',
    'log2',
    'log10',
    'log_sigmoid',
    'log_softmax',
    'logsumexp',
    'lt',
    'matmul',
    'matmul_layernorm',
    'matmul_softmax',
    'max',
    'maximum',
    'mean',
    'measured_rates',
    'min',
    'minimum',
    'mul',
    'mul_by_const',
    'ne',
    'neg',
    'numeric',
    'ones_like',
    'optimize',
    'permute',
    'placeholder',
    'pow',
    'power',
    'preference',
    'pushforward',
    'real',
    'reciprocal',
    'registry',
    'relu',
    'reshape',
    'reshape_like',
    'reverse_gradient',
    'round',
    'rsqrt',
    'scale_gradient',
    'scan',
    'scatter_add',
    'sgn',
    'sigmoid',
    'sign',
    'silu',
    'sin',
    'sinh',
    'softmax',
    'softplus',
    'sparse_hessian',
    'sparse_jacobian',
    'sparsity',
    'specialized',
    'sqrt',
    'square',
    'squeeze',
    'stabilize',
    'stack',
    'std',
    'stop_gradient',
    'sub',
    'sum',
    'sum_op',
    'sum_to_like',
    'switch',
    'symbolic',
    'tan',
    'tanh',
    'taylor',
    'to_latex',
    'to_text',
    'topological_sort',
    'train_step',
    'transpose',
    'tril',
    'triu',
    'trunc',
    'ungetitem',
    'unsqueeze',
    'value_and_grad',
    'var',
    'vjp',
    'vmap',
    'where',
    'while_loop',
    'zeros_like',
]  # fmt: skip

__version__ = '0.1.0'

# What needs sympy, or imports programs, is imported when it is first asked for: it would add a quarter to the
# time of the import.
_ON_DEMAND = {
    'check_gradients': 'adjoint.verify.check',
    'check_op': 'adjoint.verify.check',
    'called_on_nodes': 'adjoint.interop.on_nodes',
    'kinks': 'adjoint.verify.kinks',
    'from_torch': 'adjoint.interop.from_torch',
    'implicit': 'adjoint.transform.implicit',
    'symbolic': 'adjoint.verify.symbolic',
    'to_latex': 'adjoint.view.latex',
}


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        msg = f'module {__name__!r} has no attribute {name!r}'
        raise AttributeError(msg)
    module = importlib.import_module(_ON_DEMAND[name])
    return module if name == 'symbolic' else getattr(module, name)


hand_over_import(lambda: __getattr__('called_on_nodes'))

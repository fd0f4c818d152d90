"""Automatic differentiation on PyTorch tensors in which the derivative is a graph that you can hold."""

from adjoint.autodiff.forward import pushforward
from adjoint.autodiff.reverse import gradients
from adjoint.core.errors import *
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.core.source import Location
from adjoint.core.tensor_type import TensorType
from adjoint.execute.evaluator import Evaluator
from adjoint.ops import registry
from adjoint.ops.activation import *
from adjoint.ops.arithmetic import *
from adjoint.ops.arithmetic import abs_ as abs, pow_ as pow
from adjoint.ops.contract import *
from adjoint.ops.contraction import *
from adjoint.ops.creation import *
from adjoint.ops.exponential import *
from adjoint.ops.index import *
from adjoint.ops.kinds import *
from adjoint.ops.linear import *
from adjoint.ops.normalise import *
from adjoint.ops.reduction import *
from adjoint.ops.reduction import sum_ as sum
from adjoint.ops.select import *
from adjoint.ops.shape import *
from adjoint.ops.step import *
from adjoint.ops.step import round_ as round
from adjoint.ops.torch_names import detach, max_ as max, min_ as min
from adjoint.ops.trigonometric import *

__version__ = '0.1.0'

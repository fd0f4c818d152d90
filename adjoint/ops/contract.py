"""The names of the original contract, where they differ from ours."""

from adjoint.ops.activation import ReLU, Softmax
from adjoint.ops.arithmetic import (
    Add,
    AddByConst,
    Div,
    DivByConst,
    Mul,
    MulByConst,
    Pow,
    Sqrt,
    Sub,
    pow_,
)  # fmt: skip
from adjoint.ops.contraction import MatMul
from adjoint.ops.creation import OnesLike, Placeholder, ZerosLike
from adjoint.ops.exponential import Log
from adjoint.ops.linear import Broadcast, ExpandAs
from adjoint.ops.normalise import LayerNorm, MatMulLayerNorm, MatMulSoftmax
from adjoint.ops.reduction import Mean, Sum, sum_
from adjoint.ops.shape import ExpandAs3d, Transpose
from adjoint.ops.step import GreaterThan

__all__ = [
    'AddByConstOp', 'AddOp', 'BroadcastOp', 'DivByConstOp', 'DivOp', 'ExpandAsOp', 'ExpandAsOp3d',
    'GreaterThanOp', 'LayerNormOp', 'LogOp', 'MatMulLayerNormOp', 'MatMulOp', 'MatMulSoftmaxOp', 'MeanOp',
    'MulByConstOp', 'MulOp', 'OnesLikeOp', 'PlaceholderOp', 'PowerOp', 'ReLUOp', 'SoftmaxOp', 'SqrtOp',
    'SubOp', 'SumOp', 'TransposeOp', 'ZerosLikeOp', 'power', 'sum_op',
]  # fmt: skip

AddOp = Add
SubOp = Sub
MulOp = Mul
DivOp = Div
AddByConstOp = AddByConst
MulByConstOp = MulByConst
DivByConstOp = DivByConst
GreaterThanOp = GreaterThan
ZerosLikeOp = ZerosLike
OnesLikeOp = OnesLike
SumOp = Sum
MeanOp = Mean
ExpandAsOp = ExpandAs
ExpandAsOp3d = ExpandAs3d
BroadcastOp = Broadcast
LogOp = Log
SqrtOp = Sqrt
PowerOp = Pow
ReLUOp = ReLU
TransposeOp = Transpose
MatMulOp = MatMul
SoftmaxOp = Softmax
LayerNormOp = LayerNorm
MatMulLayerNormOp = MatMulLayerNorm
MatMulSoftmaxOp = MatMulSoftmax
PlaceholderOp = Placeholder

power = pow_
sum_op = sum_

"""W10: a hand of 22 bones poses 500 points of a mesh; the Jacobian of 1,500 residuals by 26 parameters.

After the problem HAND of ADBench: thousands of tiny ops, float64.
"""

from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.workloads.workload import Workload, randn

BONES, POINTS, PARAMETERS = 22, 500, 26
FINGERS, JOINTS = 5, 4
# The forearm, the palm, and the bones of each finger one after the other.
PARENTS = [-1, 0, *(1 if i % JOINTS == 0 else 1 + i for i in range(FINGERS * JOINTS))]
ZERO, ONE = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)


def make() -> list[torch.Tensor]:
    double = torch.float64
    eye = torch.eye(4, dtype=double)
    rest = eye.repeat(BONES, 1, 1)
    rest[:, :3, 3] = randn(BONES, 3, seed=1, scale=0.3, dtype=double)
    absolute: list[torch.Tensor] = []
    for bone, parent in enumerate(PARENTS):
        absolute.append(rest[bone] if parent < 0 else absolute[parent] @ rest[bone])
    points = torch.cat([randn(3, POINTS, seed=2, dtype=double), torch.ones(1, POINTS, dtype=double)])
    weights = torch.softmax(randn(BONES, 1, POINTS, seed=3, scale=3.0, dtype=double), 0)
    return [
        randn(PARAMETERS, seed=0, scale=0.4, dtype=double),
        rest,
        torch.linalg.inv(torch.stack(absolute)),
        points,
        weights,
        randn(3, POINTS, seed=4, dtype=double),
    ]


def rotation(x: Any, y: Any, z: Any) -> Sequence[Sequence[Any]]:
    """Return the rows of a rotation by three angles in radians."""
    (sx, cx), (sy, cy), (sz, cz) = ((torch.sin(a), torch.cos(a)) for a in (x, y, z))
    return [
        [cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz],
        [cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz],
        [-sy, sx * cy, cx * cy],
    ]


def matrix(rows: Sequence[Sequence[Any]]) -> Any:
    return torch.stack([torch.stack(list(row)) for row in rows])


def turn(x: Any, y: Any, z: Any) -> Any:
    """Return a rotation as a transformation ``(4, 4)``."""
    rows = [[*row, ZERO] for row in rotation(x, y, z)]
    return matrix([*rows, [ZERO, ZERO, ZERO, ONE]])


def residuals(theta: Any, rest: Any, back: Any, points: Any, weights: Any, measured: Any) -> Any:
    absolute: list[Any] = []
    posed: Any = None
    for bone, parent in enumerate(PARENTS):
        local = rest[bone]
        finger, joint = divmod(bone - 2, JOINTS)
        if bone > 1 and joint < JOINTS - 1:
            angles = 6 + JOINTS * finger
            sideways = theta[angles + 3] if joint == 0 else ZERO
            local = torch.matmul(local, turn(theta[angles + joint], ZERO, sideways))
        absolute.append(local if parent < 0 else torch.matmul(absolute[parent], local))
        moved = torch.matmul(torch.matmul(absolute[bone], back[bone]), points)[:3] * weights[bone]
        posed = moved if posed is None else posed + moved
    turned = torch.matmul(matrix(rotation(theta[0], theta[1], theta[2])), posed)
    return torch.reshape(turned + torch.reshape(theta[3:6], (3, 1)) - measured, (-1,))


WORKLOAD = Workload(
    'W10', 'skeleton, Jacobian 1500 x 26', make, residuals, 1, kind='jacobian', tolerance=1e-9
)

"""Seals the global state: every test starts seeded, and none leaves a setting changed."""

import os
import random
import tempfile
from collections.abc import Iterator
from typing import Any

# Read by torch when it is loaded, here and in the commands that tests start: the workers of
# pytest-xdist share the cores, one thread each.
os.environ['OMP_NUM_THREADS'] = '1'
os.environ['MKL_NUM_THREADS'] = '1'

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)

# What is compiled is not kept among the files of who runs the tests.
COMPILED = tempfile.TemporaryDirectory(prefix='adjoint-tests-', ignore_cleanup_errors=True)
os.environ['ADJOINT_CACHE_DIR'] = COMPILED.name

# The same examples on every run, and no database: a failure here fails anywhere. No deadline, since
# the time of a first call into torch says nothing about the code under test.
settings.register_profile('adjoint', derandomize=True, database=None, deadline=None)
settings.load_profile('adjoint')
# `make fuzz`: many, and others on every run. A failure prints what repeats it.
settings.register_profile(
    'fuzz',
    database=None,
    deadline=None,
    print_blob=True,
    max_examples=int(os.environ.get('EXAMPLES', '2000')),
)

SEED = 20240229


def _settings() -> dict[str, Any]:
    """Every process-wide setting on which a value could depend, by name."""
    return {
        'default dtype': torch.get_default_dtype(),
        'default device': torch.get_default_device(),
        'threads of torch': torch.get_num_threads(),
        'grad mode': torch.is_grad_enabled(),
        'inference mode': torch.is_inference_mode_enabled(),
        'anomaly mode': torch.is_anomaly_enabled(),
        'deterministic algorithms': torch.are_deterministic_algorithms_enabled(),
        'deterministic warnings only': torch.is_deterministic_algorithms_warn_only_enabled(),
        'float32 matmul precision': torch.get_float32_matmul_precision(),
        'error state of numpy': np.geterr(),
        'precision of mpmath': mpmath.mp.prec,
        'working directory': os.getcwd(),  # noqa: PTH109 compared as a string
    }


def _restore(before: dict[str, Any]) -> None:
    """Set everything back, so that one offender does not fail the tests after it."""
    torch.set_default_dtype(before['default dtype'])
    torch.set_default_device(None)
    torch.set_num_threads(before['threads of torch'])
    torch.set_grad_enabled(before['grad mode'])
    torch.autograd.set_detect_anomaly(before['anomaly mode'])
    torch.use_deterministic_algorithms(
        before['deterministic algorithms'], warn_only=before['deterministic warnings only']
    )
    torch.set_float32_matmul_precision(before['float32 matmul precision'])
    np.seterr(**before['error state of numpy'])
    mpmath.mp.prec = before['precision of mpmath']
    os.chdir(before['working directory'])


def _seed() -> None:
    """Seed every source of random numbers."""
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002 the legacy state is global, and some library may draw from it
    torch.manual_seed(SEED)


# The deterministic algorithms of torch stay off: users run without them, so that a test that needs
# them to see two equal runs would have found a defect of ours.
@pytest.fixture(autouse=True)
def sealed_state() -> Iterator[None]:
    """Start the test seeded; fail it when a process-wide setting is not as it was."""
    _seed()
    before = _settings()
    yield
    after = _settings()
    changed = [
        f'{name}: {before[name]!r} -> {after[name]!r}' for name in before if before[name] != after[name]
    ]
    if changed:
        _restore(before)
        pytest.fail('the test left a setting changed: ' + '; '.join(changed), pytrace=False)

"""Checkpoints: everything that a run needs to continue, in one safetensors file."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from adjoint.train import files
from adjoint.train.errors import RunError
from adjoint.train.extras import require

RECORD = 'adjoint'
DIGEST = 'sha256'


def save(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write a checkpoint at one stroke.

    Parameters
    ----------
    path : Path
        The file.
    tensors : Mapping[str, Tensor]
        Tensors by name; two names may share memory.
    record : Mapping[str, Any]
        What else belongs to it; anything that JSON keeps.

    Raises
    ------
    RunError
        If the file cannot be written; what was there before is still there.
    """
    require('safetensors')
    import safetensors.torch

    # safetensors refuses tensors that share memory, and copies cost little beside the disk.
    copies = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    text = json.dumps(record)
    metadata = {RECORD: text, DIGEST: _digest(copies, text)}
    files.write(path, safetensors.torch.save(copies, metadata))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    tuple[dict[str, Tensor], dict[str, Any]]
        The tensors, in memory of their own, and the record.

    Raises
    ------
    RunError
        If there is no such file, or it is not exactly what was saved.
    """
    require('safetensors')
    from safetensors import SafetensorError, safe_open

    try:
        # The stubs of safetensors leave out what its files can do.
        with cast('Any', safe_open(path, 'pt')) as file:
            metadata: dict[str, str] = file.metadata() or {}
            # Copies are aligned as torch aligns them. In the file they are not, and kernels may
            # take another path on such memory, which may round otherwise.
            tensors: dict[str, Tensor] = {name: file.get_tensor(name).clone() for name in list(file.keys())}
    except SafetensorError as error:
        raise _corrupt(path, str(error)) from error
    except OSError as error:
        raise RunError(f'{path}: cannot be read: {error.strerror or error}') from error
    if RECORD not in metadata or DIGEST not in metadata:
        raise _corrupt(path, 'it is a safetensors file, but not one of ours')
    if metadata[DIGEST] != _digest(tensors, metadata[RECORD]):
        raise _corrupt(path, 'its content does not match its checksum')
    return tensors, json.loads(metadata[RECORD])


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(repr((name, tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _corrupt(path: Path, reason: str) -> RunError:
    return RunError(
        f'{path}: the checkpoint is corrupt ({reason}); it is not used. '
        'Put a good copy in its place or start a new run'
    )

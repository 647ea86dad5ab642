r"""Safetensors files that are written piece by piece and read from disk as they are needed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from drin_pyg.files import open_atomic

_NAMES = {torch.float64: 'F64', torch.float32: 'F32', torch.bfloat16: 'BF16', torch.float16: 'F16', torch.int64: 'I64',
          torch.uint8: 'U8'}

Spec = dict[str, tuple[torch.dtype, tuple[int, ...]]]


def write_tensors(path: Path, spec: Spec, fill: Callable[[dict[str, Tensor]], None]) -> None:
    r"""Writes a safetensors file under a temporary name and renames it.

    ``safetensors`` itself wants every tensor in memory; here ``fill`` writes into the mapped file.

    Args:
        path: The file.
        spec: Name to dtype and shape.
        fill: Gets the tensors, all zeros, and writes what they are to hold.
    """
    header, offset, places = {}, 0, {}
    # The widest numbers first: every tensor then starts at a multiple of its own width.
    for name, (dtype, shape) in sorted(spec.items(), key=lambda item: (-item[1][0].itemsize, item[0])):
        size = torch.Size(shape).numel() * dtype.itemsize
        header[name] = {'dtype': _NAMES[dtype], 'shape': list(shape), 'data_offsets': [offset, offset + size]}
        places[name] = offset
        offset += size
    text = json.dumps(header).encode()
    text += b' ' * (-(len(text) + 8) % 64)
    begin = 8 + len(text)
    with open_atomic(path) as file:
        file.write(len(text).to_bytes(8, 'little') + text)
        file.flush()
        _reserve(file, begin + offset)
        storage = torch.UntypedStorage.from_file(file.name, shared=True, nbytes=begin + offset)
        fill({name: torch.empty(0, dtype=dtype).set_(storage, (begin + places[name]) // dtype.itemsize, shape)
              for name, (dtype, shape) in spec.items()})


def _reserve(file: BinaryIO, size: int) -> None:
    """Makes a file that long, on disk: to write into a mapped hole of a full one would kill the process."""
    if hasattr(os, 'posix_fallocate'):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def map_tensors(path: Path) -> dict[str, Tensor]:
    r"""Tensors of a safetensors file, mapped: read from disk as needed, shared by processes that read the same file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, naming it.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"'{path}' is missing")
    try:
        with safe_open(path, 'pt') as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ValueError(f"'{path}' is no readable tensor file: {str(error)[:1000]}") from error

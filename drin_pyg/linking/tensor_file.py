r"""Safetensors files that are written piece by piece and read from disk as they are needed."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

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
    path.parent.mkdir(parents=True, exist_ok=True)
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
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        with open(temporary, 'wb') as file:
            file.write(len(text).to_bytes(8, 'little') + text)
            file.truncate(begin + offset)
        storage = torch.UntypedStorage.from_file(str(temporary), shared=True, nbytes=begin + offset)
        fill({name: torch.empty(0, dtype=dtype).set_(storage, (begin + places[name]) // dtype.itemsize, shape)
              for name, (dtype, shape) in spec.items()})
        del storage
        with open(temporary, 'rb') as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
        raise ValueError(f"'{path}' is no readable tensor file: {error}") from error

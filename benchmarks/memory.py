r"""How much memory a piece of work takes at its peak."""

import ctypes
import gc
import re
from collections.abc import Callable
from pathlib import Path

import torch

STATUS, CLEAR = Path('/proc/self/status'), Path('/proc/self/clear_refs')


def peak_growth(run: Callable[[], object], device: str | torch.device = 'cpu') -> int | None:
    r"""Bytes by which memory grows at most while ``run`` runs, above what is held before.

    On a GPU these are bytes of tensors. On a CPU they are resident pages: Linux's own high-water mark, set
    back first. Memory that earlier work freed is given back to the system before, so that using it again counts.

    Args:
        run: The work.
        device: Where it is done.

    Returns:
        The growth, or None where the system does not tell (it was run all the same).
    """
    device = torch.device(device)
    gc.collect()
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    try:
        ctypes.CDLL('libc.so.6').malloc_trim(0)
        CLEAR.write_text('5')
        before = _status('VmRSS')
    except (OSError, AttributeError):
        run()
        return None
    run()
    return max(_status('VmHWM') - before, 0)


def _status(name: str) -> int:
    """A figure of Linux's about this process, in bytes."""
    return 1024 * int(re.search(rf'{name}:\s+(\d+) kB', STATUS.read_text())[1])

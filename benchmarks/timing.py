r"""Timing that can be trusted on a shared machine: warm-up, rounds interleaved between the sides, medians."""

import platform
import statistics
import time
from collections.abc import Callable

import torch
import torch_geometric


def compare(sides: dict[str, Callable[[], object]], rounds: int = 9, warm_up: int = 2) -> dict[str, float]:
    r"""Median seconds of each side; every round runs each side once, so all see the same weather.

    Args:
        sides: Name to the function to time; the first is what the others are compared with.
        rounds: Counted rounds.
        warm_up: Rounds not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(warm_up + rounds):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def show(title: str, medians: dict[str, float]) -> None:
    r"""Prints medians, and each side's time as a multiple of the first side's."""
    base = next(iter(medians.values()))
    print(f'\n{title}')
    for name, median in medians.items():
        print(f'  {name:<44} {1e3 * median:>10.2f} ms {median / base:>8.2f} x')


def show_machine() -> None:
    r"""Prints what the figures depend on."""
    print(f'torch {torch.__version__}, torch_geometric {torch_geometric.__version__}, Python '
          f'{platform.python_version()}, {platform.machine()}, {torch.get_num_threads()} threads')

r"""Timing that can be trusted on a shared machine: warm-up, interleaved rounds, medians; and peak memory."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from tqdm import tqdm

from memory import peak_growth

LEAST_ROUNDS = 3  # fewer have no quartiles


@dataclass(frozen=True)
class Measured:
    r"""What one side took.

    Args:
        median: Seconds.
        low, high: First and third quartile.
        rounds: Counted rounds.
        peak: Bytes by which memory grew at most during one run, above what was held before; None if unknown.
    """

    median: float
    low: float
    high: float
    rounds: int
    peak: int | None = None


def compare(sides: dict[str, Callable[[], object]], rounds: int = 9, warm_up: int = 2, *,
            device: str | torch.device = 'cpu', budget: float = float('inf'), title: str = '') -> dict[str, Measured]:
    r"""Times each side; every round runs each side once, so all see the same weather.

    Args:
        sides: Name to the function to time.
        rounds: Counted rounds, at least 3.
        warm_up: Rounds before them, at least one; the last of them finds out the peak memory.
        device: Where the work is done; a GPU is waited for before each look at the clock.
        budget: Seconds after which no further round is begun, once there are three.
        title: What the progress bar says.
    """
    rounds, device = max(rounds, LEAST_ROUNDS), torch.device(device)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    peaks: dict[str, int | None] = {}
    with tqdm(total=(warm_up + rounds) * len(sides), desc=title or 'timing', leave=False, disable=None) as bar:
        for number in range(warm_up):
            for name, run in sides.items():
                if number == warm_up - 1:
                    peaks[name] = peak_growth(run, device)
                else:
                    run()
                bar.update()
        for number in range(rounds):
            if number >= LEAST_ROUNDS and sum(map(sum, seconds.values())) > budget:
                break
            for name, run in sides.items():
                synchronize(device)
                start = time.perf_counter()
                run()
                synchronize(device)
                seconds[name].append(time.perf_counter() - start)
                bar.update()
    return {name: _measured(values, peaks.get(name)) for name, values in seconds.items()}


def synchronize(device: torch.device) -> None:
    r"""Waits until the device has done what it was asked for."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def show(title: str, measured: dict[str, Measured]) -> None:
    r"""Prints medians, quartiles and peaks, and each side's time as a multiple of the first side's."""
    base = next(iter(measured.values())).median
    print(f'\n{title}')
    for name, side in measured.items():
        peak = '' if side.peak is None else f' {side.peak / 2**20:>8.0f} MiB'
        print(f'  {name:<44} {1e3 * side.median:>10.2f} ms ({1e3 * side.low:.2f} to {1e3 * side.high:.2f}) '
              f'{side.median / base:>8.2f} x{peak}', flush=True)


def _measured(values: list[float], peak: int | None) -> Measured:
    low, median, high = statistics.quantiles(values, n=4, method='inclusive')
    return Measured(median, low, high, len(values), peak)

r"""What a benchmark says about itself, and where its figures go: the terminal, JSON lines."""

import argparse
import json
import os
import platform
import re
from pathlib import Path

import torch
import torch_geometric

from timing import Measured, show


def machine(device: str | torch.device = 'cpu') -> dict:
    r"""What the figures depend on: versions, cores, the name of the processor and of the GPU."""
    device = torch.device(device)
    return {
        'torch': torch.__version__,
        'torch_geometric': torch_geometric.__version__,
        'torch_scatter': bool(torch_geometric.typing.WITH_TORCH_SCATTER),
        'python': platform.python_version(),
        'processor': _processor(),
        'cores': os.cpu_count(),
        'threads': torch.get_num_threads(),
        'gpu': torch.cuda.get_device_name(device) if device.type == 'cuda' else None,
    }


def show_machine(device: str | torch.device = 'cpu') -> None:
    r"""Prints it."""
    about = machine(device)
    gpu = f", {about['gpu']}" if about['gpu'] else ''
    print(f"torch {about['torch']}, torch_geometric {about['torch_geometric']}, torch_scatter "
          f"{'on' if about['torch_scatter'] else 'off'}, Python {about['python']}, {about['processor']}, "
          f"{about['cores']} cores, {about['threads']} threads{gpu}")


class Report:
    r"""Prints measurements and keeps them as records, which are written as they come.

    Args:
        name: The benchmark.
        arguments: Its options; the scalar ones are part of every record.
    """

    def __init__(self, name: str, arguments: argparse.Namespace):
        self.records: list[dict] = []
        self.path: Path | None = arguments.json
        options = {key: str(value).removeprefix('torch.') if isinstance(value, torch.dtype) else value
                   for key, value in vars(arguments).items() if key not in ('json', 'plot', 'scatter', 'threads')}
        self._common = {'benchmark': name, **{k: v for k, v in options.items() if not isinstance(v, list | Path)}}
        self._machine = machine(arguments.device)
        show_machine(arguments.device)
        if self.path is not None:
            self.path.write_text('')

    def add(self, title: str, measured: dict[str, Measured], columns: dict[str, dict] | None = None,
            **parameters) -> None:
        r"""Prints and records what :func:`compare` measured.

        Args:
            title: What was compared.
            measured: Side to its measurement.
            columns: Side to further figures of it.
            **parameters: What all sides had in common; they take the place of options.
        """
        show(title, measured)
        for name, side in measured.items():
            further = (columns or {}).get(name, {})
            if further:
                print(f"    {name}: " + ', '.join(f'{key} {value:.4g}' for key, value in further.items()
                                                  if value is not None))
            self._write({
                **self._common, 'title': title, **parameters, 'side': name, 'ms': 1e3 * side.median,
                'ms_low': 1e3 * side.low, 'ms_high': 1e3 * side.high, 'counted_rounds': side.rounds,
                'peak_bytes': side.peak, **further, 'machine': self._machine,
            })

    def note(self, text: str, **figures) -> None:
        r"""Prints and records what is no time."""
        print(text)
        self._write({**self._common, 'title': text, **figures, 'machine': self._machine})

    def _write(self, record: dict) -> None:
        self.records.append(record)
        if self.path is not None:
            with self.path.open('a') as file:
                file.write(json.dumps(record) + '\n')


def _processor() -> str:
    """The processor's name, where Linux knows it."""
    try:
        found = re.search(r'model name\s*:\s*(.+)', Path('/proc/cpuinfo').read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()

r"""The options that the benchmarks share."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
import torch_geometric.typing

DTYPES = ['float32', 'float64', 'bfloat16', 'float16']
CONTEXTS = ['pair', 'mention']


def make_parser(doc: str, **defaults) -> argparse.ArgumentParser:
    r"""A parser with the shared options.

    Args:
        doc: The script's docstring; its first line describes it.
        **defaults: Other defaults than these; a list means that the option takes several values, None that
            there is no such option.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    values = {'device': 'cpu', 'dtype': 'float32', 'context': CONTEXTS, 'mentions': 64, 'candidates': 100, 'dim': 768,
              'layers': 2, 'rounds': 9, **defaults}

    def add(name: str, help: str, type: type = int, choices: list[str] | None = None) -> None:
        default = values[name]
        if default is None:
            return
        parser.add_argument(f'--{name}', type=type, choices=choices, default=default, help=help,
                            nargs='+' if isinstance(default, list) else None)

    add('device', 'where to compute: cpu, cuda, cuda:1, ...', str)
    add('dtype', 'in which numbers', str, DTYPES)
    add('context', 'whose mention vertices', str, CONTEXTS)
    add('mentions', 'mentions of a batch')
    add('candidates', 'candidates of a mention')
    add('dim', 'width of the vertices (in batch_building.py, of the features)')
    add('layers', 'dynamic layers')
    add('rounds', 'counted rounds, at least 3')
    parser.add_argument('--threads', type=int, help='threads of the processor (default: what PyTorch takes)')
    parser.add_argument('--json', type=Path, metavar='OUT', help='write one JSON object a measurement and line')
    parser.add_argument('--plot', type=Path, metavar='OUT.png', help='draw the figure (.png, .pdf or .svg)')
    parser.add_argument('--scatter', choices=['on', 'off'],
                        help="whether PyG uses torch_scatter (default: where it is installed)")
    parser.add_argument('--quick', action='store_true', help='a tiny size, to see that it runs')
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None, **quick) -> argparse.Namespace:
    r"""Parses the command line and sets the process up as it says.

    Args:
        parser: From :func:`make_parser`, with the script's own options.
        argv: The command line; None for the process's.
        **quick: What ``--quick`` makes the defaults; options that are given keep their say.
    """
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(**quick)
        arguments = parser.parse_args(argv)
    try:
        torch.empty(0, device=arguments.device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: a build without CUDA
        parser.error(f"--device {arguments.device} is not there: {str(error).splitlines()[0]}")
    if arguments.scatter == 'on' and not torch_geometric.typing.WITH_TORCH_SCATTER:
        parser.error("--scatter on needs torch_scatter, which is not installed; 'make scatter' compiles it")
    if arguments.scatter == 'off':
        torch_geometric.typing.WITH_TORCH_SCATTER = False
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    arguments.dtype = getattr(torch, getattr(arguments, 'dtype', 'float32'))
    torch.manual_seed(0)
    return arguments

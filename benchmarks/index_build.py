r"""Building, saving and loading the index of a knowledge base, against the bare products that it consists of.

python benchmarks/index_build.py --json index.jsonl --plot index.png
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from arguments import make_parser, parse
from drin_pyg.features import SideTables
from drin_pyg.linking import EntityIndex
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import ENTITY_IMAGE, ENTITY_TEXT
from plots import bars
from report import Report
from synthetic import make_model, make_sides
from timing import compare

FLOOR = 'floor: encoders and first layer, products alone'


def main(argv: Sequence[str] | None = None) -> None:
    """Parses, runs, prints, writes."""
    parser = make_parser(__doc__, rounds=5)
    parser.add_argument('--entities', type=int, default=20_000, help='entities of the knowledge base')
    parser.add_argument('--weights', choices=['tables', 'given'], default='tables',
                        help='first weights: stored rows, or numbers given for each pair, which need no room here')
    parser.add_argument('--scale', type=float, default=1.0, help='factor on the widths of all features')
    arguments = parse(parser, argv, entities=100, dim=16, scale=0.02, rounds=3)
    report = Report('index_build', arguments)
    model = make_model(arguments.dim, arguments.layers, arguments.scale).to(arguments.device).eval()
    _, entities = make_sides(1, arguments.entities, arguments.scale, given=arguments.weights == 'given')

    with tempfile.TemporaryDirectory() as place, torch.inference_mode():
        folder, saved, runs = Path(place), Path(place) / 'saved', iter(range(10**6))
        EntityIndex.build(model, entities, dtype=arguments.dtype).save(saved)
        size = sum(path.stat().st_size for path in saved.rglob('*') if path.is_file())
        sides = {
            FLOOR: lambda: products(model, entities),
            'EntityIndex.build, in memory': lambda: EntityIndex.build(model, entities, dtype=arguments.dtype),
            'EntityIndex.build, into a folder': lambda: EntityIndex.build(
                model, entities, dtype=arguments.dtype, folder=folder / str(next(runs))),
            'EntityIndex.load': lambda: EntityIndex.load(saved, model),
        }
        measured = compare(sides, arguments.rounds, device=arguments.device, title=f'{arguments.entities} entities')
    columns = {name: {'entities_per_second': arguments.entities / side.median} for name, side in measured.items()}
    for name in list(sides)[1:3]:
        columns[name]['fraction_of_floor'] = measured[FLOOR].median / measured[name].median
        columns[name]['bytes_per_entity'] = size / arguments.entities
    title = f'{arguments.entities} entities, {size / 2**20:.4g} MiB on disk'
    report.add(title, measured, columns, disk_bytes=size)
    if arguments.plot is not None:
        bars(arguments.plot, 'index', {title: measured})


def products(model: DRIN, entities: SideTables) -> None:
    r"""What building cannot do without: the encoders and the first layer's :math:`\mathbf{W}_h`."""
    for node_type, x in ((ENTITY_TEXT, entities.text), (ENTITY_IMAGE, entities.image)):
        x = F.linear(x, model.encoders[node_type].weight)
        F.linear(x, model.convs[0].lins['shared'].weight)


if __name__ == '__main__':
    main()

r"""One training step (forward, loss of the paper, backward, Adam) of DRIN on a compact batch, against dense tensors.

python benchmarks/training_step.py --json step.jsonl --plot step.png
"""

from argparse import Namespace
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from arguments import make_parser, parse
from dense_published import DenseDRIN, dense_inputs
from drin_pyg.features.side_tables import pair_tables
from drin_pyg.graph import candidate_batch, forward_args
from drin_pyg.nn.loss import margin_loss
from plots import bars
from report import Report
from synthetic import Floor, floor_products, make_candidates, make_model, make_sides
from timing import compare

OURS, DENSE, FLOOR = 'ours', 'dense, as published', 'floor: the products alone'


def main(argv: Sequence[str] | None = None) -> None:
    """Parses, runs, prints, writes."""
    parser = make_parser(__doc__, rounds=5)
    parser.add_argument('--entities', type=int, nargs='+', default=[1000, 50_000],
                        help='distinct entities to draw the candidates from: many repeat in a batch, or hardly any')
    parser.add_argument('--scale', type=float, default=1.0, help='factor on the widths of all features')
    arguments = parse(parser, argv, mentions=4, candidates=5, dim=16, scale=0.02, rounds=3, entities=[10])
    report = Report('training_step', arguments)
    panels = {}
    for entities in arguments.entities:
        tables = pair_tables(*make_sides(arguments.mentions, entities, arguments.scale, given=True))
        candidates = make_candidates(arguments.mentions, arguments.candidates, entities, given=True)
        for context in arguments.context:
            model = make_model(arguments.dim, arguments.layers, arguments.scale).to(arguments.device, arguments.dtype)
            dense = DenseDRIN(model, context)
            batch = candidate_batch(tables, candidates, context=context, compact=True).to(arguments.device)
            args, inputs = cast(forward_args(batch), arguments), cast(dense_inputs(tables, candidates), arguments)

            def loss(scores: Tensor, batch=batch) -> Tensor:
                return margin_loss(scores, batch.y, batch.mention)

            sides = {
                OURS: step(model, lambda model=model, args=args, loss=loss: loss(model(**args))),
                DENSE: step(dense, lambda dense=dense, x=inputs, loss=loss: loss(dense(*x).flatten())),
            }
            # The gradients by a product's input and by its matrix are a product each.
            products = 3 * floor_products(model, context)
            if products:
                sides[FLOOR] = Floor(candidates.num_pairs, arguments.dim, products, arguments.dtype, arguments.device)
            title = f'{context} context, {entities} entities'
            measured = compare(sides, arguments.rounds, device=arguments.device, title=title)
            columns = {name: {
                'us_per_pair': 1e6 * side.median / candidates.num_pairs,
                'times_faster_than_dense': measured[DENSE].median / side.median,
                'fraction_of_floor': measured[FLOOR].median / side.median if products else None,
            } for name, side in measured.items()}
            for name, tensors in ((OURS, args['x_dict']), (DENSE, inputs[0])):
                columns[name]['input_bytes'] = sum(x.nbytes for x in tensors.values())
            report.add(title, measured, columns, context=context, entities=entities, num_pairs=candidates.num_pairs,
                       distinct_entities=candidates.entity.unique().numel(), floor_products=products)
            panels[title] = measured
    if arguments.plot is not None:
        bars(arguments.plot, 'training step', panels)


def cast(value, arguments: Namespace):
    r"""Moves all tensors of nested dictionaries and tuples to the device, floating-point ones to the dtype."""
    if isinstance(value, Tensor):
        return value.to(arguments.device, arguments.dtype if value.is_floating_point() else None)
    if isinstance(value, dict):
        return {key: cast(part, arguments) for key, part in value.items()}
    return tuple(cast(part, arguments) for part in value) if isinstance(value, tuple) else value


def step(model: torch.nn.Module, loss: Callable[[], Tensor], lr: float = 1e-3) -> Callable[[], None]:
    r"""A function that trains the model for one step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)

    def run() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return run


if __name__ == '__main__':
    main()

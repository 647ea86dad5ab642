r"""Building a batch of graphs: vectorised, against Batch.from_data_list of single graphs and against a training step.

python benchmarks/batch_building.py --json batch.jsonl --plot batch.png
"""

from collections.abc import Sequence

import torch
from torch_geometric.data import Batch

from arguments import make_parser, parse
from drin_pyg import DRIN, EDGE_TYPES, NODE_TYPES, PairTables, candidate_batch, mention_graph, pair_graph
from drin_pyg.features import Candidates
from drin_pyg.graph import forward_args
from drin_pyg.graph.weigh_pairs import weigh_pairs
from drin_pyg.nn.loss import margin_loss
from drin_pyg.vocabulary import MENTION_TYPES
from plots import bars
from report import Report
from synthetic import make_candidates
from timing import compare
from training_step import cast, step

PLAIN, COMPACT, LIST = 'candidate_batch', 'candidate_batch, compact', 'Batch.from_data_list alone'
TRAINING = 'compact, first weights picked (training)'
STEP, PUBLISHED_STEP = 'training step of DRIN()', 'training step of DRIN.published()'


def main(argv: Sequence[str] | None = None) -> None:
    """Parses, runs, prints, writes."""
    parser = make_parser(__doc__, candidates=32, dim=384, rounds=5, dtype=None)
    parser.add_argument('--entities', type=int, default=2000, help='distinct entities to draw the candidates from')
    parser.add_argument('--hidden', type=int, default=768, help="width of the published model's vertices")
    arguments = parse(parser, argv, mentions=4, candidates=5, dim=16, hidden=16, rounds=3, entities=10)
    report = Report('batch_building', arguments)
    sizes = {t: arguments.mentions if t in MENTION_TYPES else arguments.entities for t in NODE_TYPES}
    tables = PairTables(
        x={t: torch.randn(n, arguments.dim) for t, n in sizes.items()},
        weight={t: (torch.randn(sizes[t[0]], arguments.dim), torch.randn(sizes[t[2]], arguments.dim))
                for t in EDGE_TYPES},
    )
    candidates = make_candidates(arguments.mentions, arguments.candidates, arguments.entities)
    weighed = weigh_pairs(tables, candidates)
    panels = {}
    for context in arguments.context:
        graphs = single_graphs(tables, candidates, context)
        batch = candidate_batch(tables, candidates, context=context, compact=True).to(arguments.device)
        args = cast(forward_args(batch), arguments)

        def training_step(model: DRIN, args=args, batch=batch):
            model = model.to(arguments.device)
            return step(model, lambda: margin_loss(model(**args), batch.y, batch.mention))

        sides = {
            PLAIN: lambda context=context: candidate_batch(tables, candidates, context=context),
            COMPACT: lambda context=context: candidate_batch(tables, candidates, context=context, compact=True),
            TRAINING: lambda context=context: candidate_batch(tables, weighed, context=context, compact=True),
            LIST: lambda graphs=graphs: Batch.from_data_list(graphs),
            STEP: training_step(DRIN(arguments.dim)),
            PUBLISHED_STEP: training_step(DRIN.published(arguments.dim, arguments.hidden, arguments.layers)),
        }
        title = f'{context} context, {len(graphs)} graphs of {candidates.num_pairs} pairs'
        measured = compare(sides, arguments.rounds, device=arguments.device, title=title)
        columns = {name: {
            'times_faster_than_list': measured[LIST].median / measured[name].median,
            'share_of_step': measured[name].median / measured[STEP].median,
            'share_of_published_step': measured[name].median / measured[PUBLISHED_STEP].median,
        } for name in (PLAIN, COMPACT, TRAINING)}
        report.add(title, measured, columns, context=context, num_pairs=candidates.num_pairs, num_graphs=len(graphs))
        panels[title] = measured
    if arguments.plot is not None:
        bars(arguments.plot, 'batch or step', panels)


def single_graphs(tables: PairTables, candidates: Candidates, context: str) -> list:
    r"""The graphs of the batch one by one, which the other side only has to put together."""
    if context == 'pair':
        return [pair_graph(tables, m, e, y=y) for m, e, y in
                zip(candidates.mention.tolist(), candidates.entity.tolist(), candidates.y.tolist(), strict=True)]
    lists = candidates.entity.split(candidates.counts.tolist())
    answers = candidates.y.split(candidates.counts.tolist())
    return [mention_graph(tables, m, entities.tolist(), y=y.tolist())
            for m, (entities, y) in enumerate(zip(lists, answers, strict=True))]


if __name__ == '__main__':
    main()

r"""Time and memory of scoring a pair from stored entity data, as the number of candidates grows to a million.

python benchmarks/candidate_scaling.py --json scaling.jsonl --plot scaling.png
"""

from argparse import Namespace
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from arguments import make_parser, parse
from dense_published import DenseDRIN, dense_inputs, is_published
from drin_pyg.features import Candidates, PairTables, SideTables
from drin_pyg.features.side_tables import pair_tables, select_mentions, side_tables
from drin_pyg.linking import CandidateScorer, EntityIndex
from drin_pyg.nn import DRIN
from plots import Curves, curves
from report import Report
from synthetic import Floor, floor_products, make_candidates, make_model, make_sides
from timing import Measured, compare

OURS, DENSE, FLOOR = 'ours', 'dense, as published', 'floor: the products alone'


def main(argv: Sequence[str] | None = None) -> None:
    """Parses, runs, prints, writes."""
    parser = make_parser(__doc__, candidates=[10, 100, 1000, 10_000, 100_000, 1_000_000], mentions=None)
    parser.add_argument('--entities', type=int, default=50_000, help='distinct entities to draw candidates from')
    parser.add_argument('--weights', choices=['tables', 'given'], default='tables',
                        help='first weights: inner products of stored rows, or one number given for each pair')
    parser.add_argument('--pairs', type=int, default=6400,
                        help='pairs of a run, which says how many mentions there are; a single one may have more')
    parser.add_argument('--dense-pairs', type=int, default=10_000, help='most pairs the dense side is asked for')
    parser.add_argument('--budget', type=float, default=60, help='seconds of a point, once three rounds are done')
    parser.add_argument('--scale', type=float, default=1.0, help='factor on the widths of all features')
    parser.add_argument('--real', nargs=2, metavar=('DATA', 'RUN'),
                        help="real features and a trained model: a folder of 'drin-pyg encode' (or 'emoji'), and a run")
    arguments = parse(parser, argv, candidates=[2, 20], entities=40, pairs=20, dim=16, scale=0.02, rounds=3)
    report = Report('candidate_scaling', arguments)
    model, mentions, entities, lists = real(arguments) if arguments.real else (*synthetic(arguments), None)
    model = model.to(arguments.device).eval()
    index = EntityIndex.build(model, entities, dtype=arguments.dtype).to(arguments.device)
    print(f'{index.num_entities} entities; {model.num_layers} layers of width {model.hidden_channels}')
    if lists is not None and arguments.dtype != torch.float32:
        full = EntityIndex.build(model, entities).to(arguments.device)
        for context in arguments.context:
            same = same_top1(CandidateScorer(model, full, context=context),
                             CandidateScorer(model, index, context=context, dtype=arguments.dtype), mentions, lists)
            report.note(f'{context} context: {100 * same:.2f} % of {int((lists.counts > 0).sum())} mentions have the '
                        f'top candidate that they have in float32', context=context, same_top1=same)
    tables = dense_tables(model, mentions, entities, arguments)

    rows: tuple[list[Curves], list[Curves]] = ([], [])
    for context in arguments.context:
        scorer = CandidateScorer(model, index, context=context, dtype=arguments.dtype)
        dense = None
        if tables is not None:
            dense = DenseDRIN(model, context).to(dtype=arguments.dtype)
        for panels, label in zip(rows, ('time per pair (µs)', 'peak memory growth (MiB)'), strict=True):
            panels.append(Curves(f'{context} context', 'candidates of a mention, $K$', label))
        for k in arguments.candidates:
            count = min(max(arguments.pairs // k, 1), mentions.text.size(0))
            batch = select_mentions(mentions, torch.arange(count))
            candidates = make_candidates(count, k, index.num_entities, given=arguments.weights == 'given')
            sides: dict[str, Callable] = {OURS: lambda s=scorer, b=batch, c=candidates: s(b, c)}
            if dense is not None and candidates.num_pairs <= arguments.dense_pairs:
                sides[DENSE] = lambda d=dense, c=candidates: score_densely(d, tables, c)
            products = floor_products(model, context)
            if products:
                sides[FLOOR] = Floor(candidates.num_pairs, model.hidden_channels, products, arguments.dtype,
                                     arguments.device)
            measured = compare(sides, arguments.rounds, 2 if candidates.num_pairs <= 100_000 else 1,
                               device=arguments.device, budget=arguments.budget, title=f'{context}, K = {k}')
            columns = columns_of(measured, candidates.num_pairs)
            columns[OURS]['workspace_bytes'] = scorer.workspace_bytes
            if DENSE in sides:
                columns[OURS]['largest_difference'] = float((sides[OURS]().cpu() - sides[DENSE]().cpu()).abs().max())
            report.add(f'{context} context, {count} x {k} candidates', measured, columns, context=context, candidates=k,
                       mentions=count, num_pairs=candidates.num_pairs, entities=index.num_entities,
                       floor_products=products, dim=model.hidden_channels, layers=model.num_layers)
            add_points(rows[0][-1], rows[1][-1], k, measured, candidates.num_pairs)
    if arguments.plot is not None:
        curves(arguments.plot, rows)


def synthetic(arguments: Namespace) -> tuple[DRIN, SideTables, SideTables]:
    r"""The published model with random parameters, and random features of the paper's widths."""
    model = make_model(arguments.dim, arguments.layers, arguments.scale)
    return model, *make_sides(max(arguments.pairs // min(arguments.candidates), 1), arguments.entities,
                              arguments.scale, given=arguments.weights == 'given')


def real(arguments: Namespace) -> tuple[DRIN, SideTables, SideTables, Candidates]:
    r"""A trained model, and the mentions, entities and candidate lists of a data set."""
    from drin_pyg.training import load_run

    _, model, data = load_run(arguments.real[1], arguments.real[0])
    return model, *side_tables(data.tables), data.candidates


def same_top1(one: CandidateScorer, other: CandidateScorer, mentions: SideTables, lists: Candidates) -> float:
    r"""Share of the mentions with candidates for which both rank the same one first."""
    best = [scorer(mentions, lists, k=1).entity[lists.counts > 0] for scorer in (one, other)]
    return float((best[0] == best[1]).double().mean())


def dense_tables(model: DRIN, mentions: SideTables, entities: SideTables, arguments: Namespace) -> PairTables | None:
    r"""What the dense side gathers from; None, with a word on why, where it cannot compute this."""
    if not is_published(model):
        return print('No dense side: it knows the published model alone')
    if any(bool((side.ptr.diff() != 1).any()) for side in (mentions, entities)):
        return print('No dense side: it needs one image of every mention and entity')

    def put(side: SideTables) -> SideTables:
        to = (arguments.device, arguments.dtype)
        return SideTables(side.text.to(*to), side.image.to(*to), side.ptr.to(arguments.device),
                          {t: weight.to(*to) for t, weight in side.weight.items()})

    return pair_tables(put(mentions), put(entities))


@torch.inference_mode()
def score_densely(dense: DenseDRIN, tables: PairTables, candidates: Candidates) -> Tensor:
    r"""Scores ``[P]`` by the dense side: gathers the features of all candidates and runs the model."""
    return dense(*dense_inputs(tables, candidates)).flatten()


def columns_of(measured: dict[str, Measured], num_pairs: int) -> dict[str, dict[str, float | None]]:
    r"""Of each side: time per pair, how many times faster than dense, the share of its time that the floor explains."""
    def against(other: str, seconds: float) -> float | None:
        return measured[other].median / seconds if other in measured else None

    return {name: {'us_per_pair': 1e6 * side.median / num_pairs,
                   'times_faster_than_dense': against(DENSE, side.median),
                   'fraction_of_floor': against(FLOOR, side.median)} for name, side in measured.items()}


def add_points(time: Curves, memory: Curves, k: int, measured: dict[str, Measured], num_pairs: int) -> None:
    r"""Adds one number of candidates to both panels of a context."""
    for name, side in measured.items():
        time.add(name, k, *(1e6 * seconds / num_pairs for seconds in (side.median, side.low, side.high)))
        if name != FLOOR:  # it reuses its memory
            memory.add(name, k, side.peak / 2**20 if side.peak else None)


if __name__ == '__main__':
    main()

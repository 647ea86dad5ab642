r"""Bulk linking, parquet to parquet, by either engine, against the bare scorer on features in memory.

python benchmarks/bulk_linking.py --threads 1 --json bulk.jsonl
"""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from arguments import make_parser, parse
from drin_pyg.datasets import Entity, EntityList
from drin_pyg.features import Candidates, MELData, SideTables
from drin_pyg.features.preset import Preset
from drin_pyg.features.side_tables import pair_tables, select_mentions
from drin_pyg.linking import CandidateScorer, EntityIndex, Linker
from drin_pyg.linking.bulk_job import BulkJob, link_locally
from drin_pyg.linking.link_table import link_table
from drin_pyg.linking.ray_engine import link_on_ray
from report import Report
from synthetic import make_candidates, make_model, make_sides
from timing import Measured, compare

BARE = 'floor: CandidateScorer, features and lists in memory'


class Given(Preset):
    r"""In place of encoders, whose time is another matter: the features of mention ``id`` are row ``id``."""

    name = 'given'
    options: dict = {}  # noqa: RUF012 - nothing changes it

    def __init__(self, side: SideTables):
        super().__init__()
        self.side = side

    def entities(self, records, out=None):
        raise NotImplementedError('the entities are in the index')

    def mentions(self, records, out=None):
        return select_mentions(self.side, torch.tensor([int(record.id) for record in records]))


@dataclass(frozen=True)
class World:
    r"""Made up alike in every process.

    Args:
        index: Folder of the index.
        mentions, candidates, entities: How many.
        dim, layers, scale: Of the model.
    """

    index: Path
    mentions: int
    candidates: int
    entities: int
    dim: int
    layers: int
    scale: float

    def make(self) -> tuple[Linker, SideTables, Candidates]:
        """The linker, the features of the mentions and their lists."""
        torch.set_num_threads(1)
        torch.manual_seed(0)
        model = make_model(self.dim, self.layers, self.scale).eval()
        mentions, entities = make_sides(self.mentions, self.entities, self.scale)
        lists = make_candidates(self.mentions, self.candidates, self.entities)
        base = EntityList([Entity(f'Q{row}', f'name {row}', '') for row in range(self.entities)])
        data = MELData(pair_tables(mentions, entities), lists, {}, entities=base, preset=Given(mentions))
        if not self.index.exists():
            EntityIndex.build(model, entities, [entity.id for entity in base], folder=self.index)
        return Linker(model, data, index=EntityIndex.load(self.index, model)), mentions, lists

    def __call__(self) -> Linker:
        return self.make()[0]


def main(argv: Sequence[str] | None = None) -> None:
    """Parses, runs, prints, writes."""
    parser = make_parser(__doc__, context=None, mentions=4096, dim=256, rounds=5, dtype=None, device=None)
    parser.add_argument('--entities', type=int, default=20_000, help='entities of the knowledge base')
    parser.add_argument('--shard', type=int, default=512, help='mentions of a file of the output')
    parser.add_argument('--scale', type=float, default=0.1, help='factor on the widths of the features')
    parser.add_argument('--ray-rounds', type=int, default=3, help='runs of the engine ray; 0 leaves it out')
    parser.set_defaults(device='cpu')
    arguments = parse(parser, argv, mentions=24, candidates=5, entities=50, dim=8, scale=0.02, shard=8, ray_rounds=0)
    report = Report('bulk_linking', arguments)
    with tempfile.TemporaryDirectory() as place:
        folder, numbers = Path(place), iter(range(10**6))
        world = World(folder / 'index', arguments.mentions, arguments.candidates, arguments.entities, arguments.dim,
                      arguments.layers, arguments.scale)
        linker, mentions, lists = world.make()
        table = make_table(lists)
        pq.write_table(table, folder / 'in.parquet')
        scorer = CandidateScorer(linker.model, linker.index)

        def job() -> TimedJob:
            return TimedJob(folder / 'in.parquet', folder / f'out-{next(numbers)}', 'benchmark', shard=arguments.shard)

        def locally() -> None:
            work = job()
            link_locally(work, lambda: linker, lambda rows: None)
            work.finish()

        def columns(measured: dict[str, Measured]) -> dict[str, dict[str, float]]:
            return {name: {'us_per_pair': 1e6 * side.median / lists.num_pairs,
                           'us_per_mention_above_floor': 1e6 * (side.median - measured[BARE].median)
                           / lists.num_mentions,
                           'fraction_of_floor': measured[BARE].median / side.median}
                    for name, side in measured.items()}

        title = f'{arguments.mentions} mentions with {arguments.candidates} candidates'
        measured = compare({
            BARE: lambda: scorer(mentions, lists),
            'link_table, table in memory': lambda: link_table(linker, table),
            'engine local, parquet to parquet': locally,
        }, arguments.rounds, title=title)
        report.add(title, measured, columns(measured))
        if arguments.ray_rounds:
            for _ in range(arguments.ray_rounds):
                first, rest, within = with_ray(world, job())
                report.note(f'Ray, one actor: began after {first:.1f} s (Ray and the actor start, import and load what '
                            f'they need), all shards {rest:.2f} s, of these {within:.2f} s within shards: '
                            f'{rest / within:.3f} x', seconds_to_begin=first, seconds=rest, seconds_within=within)


def make_table(lists: Candidates) -> pa.Table:
    r"""The mentions as they would be read."""
    number = lists.num_mentions
    names = pa.array([f'Q{row}' for row in lists.entity.tolist()])
    return pa.table({
        'id': pa.array([str(i) for i in range(number)]),
        'sentence': pa.array([f'Something was said about name {i} on that day.' for i in range(number)]),
        'mention': pa.array([f'name {i}' for i in range(number)]),
        'candidates': pa.ListArray.from_arrays(pa.array(lists.ptr.numpy().astype('int32')), names),
    })


@dataclass(frozen=True)
class TimedJob(BulkJob):
    r"""A job that writes down when each shard began and ended, reading and writing included."""

    def run(self, linker, shard):
        start = time.time()
        rows = super().run(linker, shard)
        (self.out / f'_{shard.number}.times').write_text(f'{start} {time.time()}')
        return rows


def with_ray(world: World, job: TimedJob) -> tuple[float, float, float]:
    r"""Seconds until the actor began its first shard, from then to the end of its last, and of these within shards.

    What Ray adds is compared within one process, shard by shard: an actor and a bare scorer beside it would not see the
    same machine.
    """
    import ray

    os.environ['RAY_USAGE_STATS_ENABLED'] = '0'
    start = time.time()
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200 * 2**20, logging_level='error')
    try:
        link_on_ray(job, world, lambda rows: None, 1)
    finally:
        ray.shutdown()
    job.finish()
    begun, ended = zip(*(map(float, path.read_text().split()) for path in job.out.glob('_*.times')), strict=True)
    return min(begun) - start, max(ended) - min(begun), sum(ended) - sum(begun)


if __name__ == '__main__':
    main()

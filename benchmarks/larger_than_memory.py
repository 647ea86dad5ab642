r"""Linking against an index on disk that is larger than the memory it may take, with the same result as in memory.

python benchmarks/larger_than_memory.py --json larger.jsonl
"""

import gc
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import torch

from arguments import make_parser, parse
from drin_pyg.features import Candidates, SideTables
from drin_pyg.linking import CandidateScorer, EntityIndex
from drin_pyg.linking.index_part import OWN_NAMES
from drin_pyg.nn import DRIN
from memory import STATUS, peak_growth
from report import Report
from synthetic import make_candidates, make_model, make_sides
from timing import Measured

SUBSET = 20_000  # entities that fit into memory, to compare with
MEBIBYTE = 2**20


def main(argv: Sequence[str] | None = None) -> None:
    """Parses, builds, measures, compares, deletes."""
    parser = make_parser(__doc__, context='pair', mentions=64, candidates=1000, dim=256, rounds=None, dtype=None)
    parser.add_argument('--gib', type=float, default=5.0, help='size of the index')
    parser.add_argument('--resident', type=int, default=512, help='MiB of the index that may be resident')
    parser.add_argument('--against-all', type=int, default=2, help='mentions compared with every entity')
    parser.add_argument('--scale', type=float, default=0.02, help='factor on the widths of the features')
    parser.add_argument('--folder', type=Path, help='where the index lies for the time (default: a temporary folder)')
    arguments = parse(parser, argv, gib=0.01, resident=1, dim=64, mentions=8, candidates=50)
    report = Report('larger_than_memory', arguments)
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        # In a process of its own: what building takes is not to be found in what linking takes.
        context = get_context('spawn')
        builder = context.Process(target=build, args=(folder, arguments.gib, arguments.dim, arguments.layers,
                                                      arguments.scale))
        builder.start()
        builder.join()
        if builder.exitcode:
            raise SystemExit(builder.exitcode)
        measure(report, arguments, folder)
    finally:
        shutil.rmtree(folder)


def the_model(dim: int, layers: int, scale: float) -> DRIN:
    """The same in both processes."""
    torch.manual_seed(0)
    return make_model(dim, layers, scale).eval()


def build(folder: Path, gib: float, dim: int, layers: int, scale: float) -> None:
    r"""Writes an index of about ``gib`` GiB, a batch of entities at a time."""
    model = the_model(dim, layers, scale)
    _, few = make_sides(1, 8, scale)
    row = sum(x.size(1) * x.element_size() for name, x in EntityIndex.build(model, few).parts[0].items()
              if name not in OWN_NAMES)
    number = max(int(gib * 2**30 / row), 100)
    _, entities = make_sides(1, number, scale)
    EntityIndex.build(model, entities, folder=folder / 'index')


def measure(report: Report, arguments, folder: Path) -> None:
    r"""Time and growth of memory: lists over the whole base, and the whole base; with a limit and without."""
    model = the_model(arguments.dim, arguments.layers, arguments.scale)
    place = folder / 'index'
    size = sum(path.stat().st_size for path in place.iterdir())
    mentions, _ = make_sides(arguments.mentions, 1, arguments.scale)
    few, _ = make_sides(arguments.against_all, 1, arguments.scale)
    number = EntityIndex.load(place).num_entities
    lists = make_candidates(arguments.mentions, arguments.candidates, number)
    ordered = replace(lists, entity=lists.entity.view(arguments.mentions, -1).sort(1).values.flatten())
    print(f'{number:,} entities, {size / 2**30:.2f} GiB on disk; {arguments.resident} MiB may be resident')
    found = {}
    everyone = arguments.against_all * number
    for limit in (arguments.resident * MEBIBYTE, None):
        limited = 'no limit' if limit is None else f'limit {arguments.resident} MiB'
        work = {
            'lists, file not in memory': (lists.num_pairs, True, lambda s: s(mentions, lists)),
            'lists': (lists.num_pairs, False, lambda s: s(mentions, lists)),
            'lists in the order of the file, file not in memory': (
                lists.num_pairs, True, lambda s: s(mentions, ordered)),
            'lists in the order of the file': (lists.num_pairs, False, lambda s: s(mentions, ordered)),
            'every entity, best 10': (everyone, False, lambda s: s(few, k=10)),
        }
        for title, (num_pairs, cold, run) in work.items():
            if cold:
                forget(place)
            found[title, limit], figures = watch(run, model, place, limit, arguments.context)
            seconds = figures.pop('seconds')
            side = Measured(seconds, seconds, seconds, 1, figures['growth'])
            report.add(f'{title}, {limited}', {'CandidateScorer': side}, {'CandidateScorer': {
                'us_per_pair': 1e6 * seconds / num_pairs, **figures}}, num_pairs=num_pairs, disk_bytes=size,
                entities=number, limit=limit)
    for title in work:
        limited, free = found[title, arguments.resident * MEBIBYTE], found[title, None]
        same = all(x.equal(y) for x, y in zip(limited, free, strict=True)) if isinstance(limited, tuple) \
            else limited.equal(free)
        report.note(f'{title}: {"the same" if same else "DIFFERENT"} scores with the limit as without', same=same)
    report.note(*compare_with_memory(model, place, mentions, few, arguments))


def watch(run: Callable, model: DRIN, place: Path, limit: int | None, context: str) -> tuple:
    r"""What linking gives, and how long it took and how much memory: loading included, at the peak, by kind of page.

    ``growth`` is the system's own high-water mark, of all kinds of pages together; the others are looked at now and
    then, so they may miss a short peak.
    """
    gc.collect()
    result, peaks, stop = [], {'RssAnon': 0, 'RssFile': 0}, threading.Event()
    before = {name: _pages(name) for name in peaks}

    def look() -> None:
        while not stop.wait(0.005):
            for name in peaks:
                peaks[name] = max(peaks[name], _pages(name) - before[name])

    def link() -> None:
        index = EntityIndex.load(place, model, resident=limit)
        start = time.perf_counter()
        result.append(run(CandidateScorer(model, index, context=context)))
        result.append(time.perf_counter() - start)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        growth = peak_growth(link)
    finally:
        stop.set()
        watcher.join()
    return result[0], {'seconds': result[1], 'growth': growth, 'anonymous': peaks['RssAnon'],
                       'mapped': peaks['RssFile']}


def compare_with_memory(model: DRIN, place: Path, mentions: SideTables, few: SideTables, arguments) -> tuple[str, ...]:
    r"""Largest difference between scores from the mapped index and from a part of it in memory."""
    mapped = EntityIndex.load(place, model, resident=arguments.resident * MEBIBYTE)
    number = min(SUBSET, mapped.num_entities)
    chosen = torch.randperm(mapped.num_entities)[:number].sort().values
    part = {name: x[chosen].clone() for name, x in mapped.parts[0].items() if name not in OWN_NAMES}
    part |= {'num_images': torch.ones(number, dtype=torch.long), 'ids': torch.empty(0, dtype=torch.uint8),
             'id_ptr': torch.zeros(number + 1, dtype=torch.long)}
    memory = EntityIndex({**mapped.manifest, 'parts': [None]}, [part], None)
    there, here = (CandidateScorer(model, index, context=arguments.context) for index in (mapped, memory))
    lists = make_candidates(arguments.mentions, arguments.candidates, number)
    largest = float((there(mentions, replace(lists, entity=chosen[lists.entity], gold=None))
                     - here(mentions, replace(lists, gold=None))).abs().max())
    count = few.text.size(0)
    every = Candidates(torch.arange(count + 1) * number, chosen.repeat(count))
    same = there(few, every, k=10).entity.equal(chosen[here(few, k=10).entity])
    return (f'{number:,} entities in memory: largest difference of scores {largest:.1e}, best 10 of all '
            f'{"the same" if same else "DIFFERENT"}',)


def forget(folder: Path) -> None:
    r"""Asks the system to drop the files of a folder from its cache, so that they are read from disk."""
    for path in folder.iterdir():
        with open(path, 'rb') as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _pages(name: str) -> int:
    """Resident bytes of a kind."""
    return 1024 * int(STATUS.read_text().split(f'{name}:')[1].split()[0])


if __name__ == '__main__':
    main()

r"""What happens if a byte of a file flips, or a file is cut off?

Every file of encoded tables, a run, its index, a table of distinct rows and a study is damaged at random places and
opened as the package opens it. Either the error names it, or what was read is the same (white space of JSON, padding);
anything else is counted as missed, and a file that the attempt changed as overwritten.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch

from drin_pyg.experiments import check_results
from drin_pyg.experiments.table import read_result
from drin_pyg.features import FeatureTable, encode_folder, load_tables
from drin_pyg.files import tensor_key, to_json
from drin_pyg.linking import EntityIndex, load_calibration
from drin_pyg.nn import DRIN
from drin_pyg.training import check_run, load_run
from kill_runs import build_index, make_source, study, train
from report import show_machine

EXPECTED = (ValueError, OSError)  # what the command makes one line and exit code 2 of


def read_tables(folder: Path) -> str:
    data = load_tables(folder)
    tensors = {f'x {t}': x for t, x in data.tables.x.items()}
    tensors |= {f'{side} {t}': x for t, pair in data.tables.weight.items() for side, x in enumerate(pair)}
    tensors |= {name: getattr(data.candidates, name) for name in ('ptr', 'entity', 'gold')} | data.split
    state = {f'state {name}': x for name, x in data.preset.state.items()}
    return tensor_key(tensors | state, str(data.mentions), str(list(data.entities)), to_json(data.preset.specs))


def read_run(folder: Path) -> str:
    recipe, model, _ = load_run(folder)
    check_run(folder)
    return tensor_key(model.state_dict(), str(recipe), to_json(model.config()), str(load_calibration(folder, model)))


def read_index(folder: Path) -> str:
    index = EntityIndex.load(folder, DRIN.from_pretrained(folder.parent / 'run' / 'model'))
    return tensor_key({f'{i} {name}': x for i, part in enumerate(index.parts) for name, x in part.items()})


def read_rows(folder: Path) -> str:
    table = FeatureTable(folder)
    return tensor_key(table.columns, to_json(table.failed))


def read_study(folder: Path) -> str:
    check_results(folder)
    return ''.join(to_json(read_result(path.parent)[0]) for path in sorted(folder.glob('runs/*/*/result.json')))


def damages(size: int, flips: int, cuts: int, rng: random.Random) -> list[tuple[str, int, int]]:
    r"""Places to flip, with what, and lengths to cut to; the first and last bytes are among them."""
    places = [0, size - 1, *(rng.randrange(size) for _ in range(flips - 2))]
    lengths = [0, size - 1, *(rng.randrange(size) for _ in range(cuts - 2))]
    return [('flip', place, rng.randrange(1, 256)) for place in places] + [('cut', length, 0) for length in lengths]


def attack(folder: Path, read: Callable[[Path], str], skip: tuple[str, ...], flips: int, cuts: int,
           rng: random.Random) -> Counter:
    r"""Damages every file of a folder, one after another, and counts what came of it."""
    expected, counts = read(folder), Counter()
    for path in sorted(path for path in folder.rglob('*') if path.is_file() and path.suffix not in skip):
        whole = path.read_bytes()
        for kind, place, value in damages(len(whole), flips, cuts, rng) if whole else ():
            damaged = whole[:place] + bytes([whole[place] ^ value]) + whole[place + 1:] if kind == 'flip' \
                else whole[:place]
            path.unlink()  # what is mapped stays as it is
            path.write_bytes(damaged)
            try:
                outcome = 'same' if read(folder) == expected else 'missed'
            except EXPECTED as error:
                message = str(error)
                outcome = 'named' if path.name in message or path.parent.name in message else 'not named'
            if outcome in ('missed', 'not named'):
                print(f'  {outcome}: {path.relative_to(folder)}, {kind} {place} {value}')
            if path.read_bytes() != damaged:
                outcome = 'overwritten'
            counts[outcome] += 1
            counts[f'{kind}s'] += 1
        path.unlink()
        path.write_bytes(whole)
        counts['files'] += 1
    return counts


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--flips', type=int, default=40, help='bytes to flip in each file, one at a time')
    parser.add_argument('--cuts', type=int, default=10, help='lengths to cut each file to')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path, metavar='OUT', help='write one JSON object a folder and line')
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    rng = random.Random(arguments.seed)
    lines = []
    with tempfile.TemporaryDirectory() as root:
        root = Path(root)
        make_source(root / 'source', 45)
        encode_folder(root / 'source', root / 'tables', 'text', work=root / 'work')
        train(root / 'tables', root / 'run')
        build_index(root / 'run', root / 'index')
        study(root / 'tables', root / 'study')
        rows = next(path.parent for path in (root / 'work').rglob('manifest.json'))
        for name, folder, read in (('tables', root / 'tables', read_tables), ('run', root / 'run', read_run),
                                   ('index', root / 'index', read_index), ('rows', rows, read_rows),
                                   ('study', root / 'study', read_study)):
            # Figures and tables of a study are written again by every call.
            skip = ('.csv', '.md', '.png', '.svg') if name == 'study' else ()
            counts = attack(folder, read, skip, arguments.flips, arguments.cuts, rng)
            lines.append({'folder': name, **{key: counts[key] for key in (
                'files', 'flips', 'cuts', 'named', 'same', 'not named', 'missed', 'overwritten')}})
            print('  '.join(f'{key} {value}' for key, value in lines[-1].items()), flush=True)
    if arguments.json:
        arguments.json.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    show_machine()
    if any(line[key] for line in lines for key in ('not named', 'missed', 'overwritten')):
        sys.exit(1)


if __name__ == '__main__':
    main()

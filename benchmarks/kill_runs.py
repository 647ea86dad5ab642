r"""What is left of a command that was killed: started again, does it end as if it had not been?

Training, encoding, building an index and a study, on a little data set, each in processes of their own that are
killed (SIGKILL, with all processes they started) before and after every operation on files, and at random moments.
The same call is then made again; a quarter of these are killed, too, and made once more. What the folder holds in the
end is compared with that of a run that was never killed: bytes, except for seconds, and for an index's file names,
which are random; of checkpoints all values.
"""

import argparse
import builtins
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')  # processes are forked, which threads would not survive

import torch
from safetensors.torch import load_file
from torch.utils._pytree import tree_flatten_with_path

from drin_pyg.datasets import EmojiMEL, write_mel_folder
from drin_pyg.experiments import ablate
from drin_pyg.features import encode_folder, load_tables
from drin_pyg.features.side_tables import side_tables
from drin_pyg.linking import EntityIndex, calibrate
from drin_pyg.training import Recipe, load_run, train_run
from report import show_machine

OPERATIONS = ('replace', 'rename', 'unlink', 'mkdir', 'rmdir', 'fsync')
RECIPE = Recipe(model={'hidden_channels': 4}, max_epochs=3, patience=1, max_pairs=256, lr=1e-3)


def make_source(folder: Path, every: int) -> None:
    r"""A little data set of real records: each ``every``-th emoji and its mentions."""
    emoji = EmojiMEL()
    entities = emoji.entities[::every]
    known = {entity.id for entity in entities}
    write_mel_folder(entities, [mention for mention in emoji.mentions if mention.answer in known], folder)


def train(tables: Path, folder: Path) -> None:
    data = load_tables(tables)

    def finish(model) -> None:
        with suppress(ValueError):  # too few mentions
            calibrate(model, data, RECIPE, folder)

    try:
        train_run(data, tables, RECIPE, folder, progress=False, accelerator='cpu', finish=finish)
    except FileExistsError:  # as the command says of a run that is finished
        if not (folder / 'run.json').exists():
            raise


def build_index(run: Path, folder: Path) -> None:
    _, model, data = load_run(run)
    try:
        EntityIndex.build(model, side_tables(data.tables)[1], [entity.id for entity in data.entities], folder=folder)
    except FileExistsError:
        if not (folder / 'index.json').exists():
            raise


def study(tables: Path, folder: Path) -> None:
    ablate(tables, folder, ['context'], RECIPE, variants=['mention context'], seeds=1, workers=1, progress=False)


def contents(kind: str, folder: Path) -> dict[str, object]:
    r"""What a folder holds, but for what may differ from one run to the next."""
    found: dict[str, object] = {}
    for path in sorted(path for path in folder.rglob('*') if path.is_file()):
        name = str(path.relative_to(folder))
        if kind == 'index' and path.suffix == '.safetensors':
            found.setdefault('parts', []).append({name: x.numpy().tobytes() for name, x in load_file(path).items()})
        elif path.name in ('index.json', 'result.json'):
            record = json.loads(path.read_text())
            for key in ('parts', 'files', 'seconds', 'training_seconds', 'sha256'):
                record.pop(key, None)
            found[name] = record
        elif path.suffix == '.csv' and kind == 'study':
            found[name] = [line.rpartition(',')[0] for line in path.read_text().splitlines()]  # without the seconds
        elif path.suffix == '.ckpt':
            checkpoint = torch.load(path, map_location='cpu', weights_only=True)
            for state in checkpoint['callbacks'].values():
                state.pop('current_score', None)  # of an epoch that was no better; read by nothing
            found[name] = [(place, x.numpy().tobytes() if isinstance(x, torch.Tensor) else x)
                           for place, x in tree_flatten_with_path(checkpoint)[0]]
        else:
            found[name] = path.read_bytes()
    return found


def watch(at: int | None, count: Callable[[], int]) -> None:
    r"""Has this process, and those it forks, killed at the given place of all those before and after operations on
    files."""
    def place() -> None:
        if count() == at:
            os.killpg(0, signal.SIGKILL)
            time.sleep(60)

    def watched(function):
        def call(*arguments, **options):
            place()
            result = function(*arguments, **options)
            place()
            return result
        return call

    for name in OPERATIONS:
        setattr(os, name, watched(getattr(os, name)))
    opened, watched_open = builtins.open, watched(builtins.open)
    builtins.open = lambda file, mode='r', *a, **k: (opened if set(mode) <= set('rbt') else watched_open)(
        file, mode, *a, **k)


def start(job: Callable[[Path], None], folder: Path, at: int | None = None, after: float | None = None) -> int:
    r"""Runs a job in a process of its own, killed at a place or after some seconds.

    Returns:
        Places that it passed; -1 if it was killed.
    """
    counter = multiprocessing.Value('q', 0)

    def count() -> int:
        with counter.get_lock():
            counter.value += 1
            return counter.value

    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            watch(at, count)
            job(folder)
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)
    if after is not None:
        time.sleep(after)
        with suppress(ProcessLookupError):  # done before
            os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return -1
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError('a job that was not killed failed; its traceback is above')
    return counter.value


def attack(kind: str, job: Callable[[Path], None], folder: Path, places: int | None, moments: int,
           rng: random.Random) -> dict[str, int]:
    r"""Kills a job at places and moments.

    Args:
        kind: Which job.
        job: The job; called with the folder to write.
        folder: That folder; always the same one, since checkpoints know where they are.
        places: Places to kill it at, evenly chosen; None for all.
        moments: Random moments to kill it at.
        rng: Where randomness comes from.
    """
    begin = time.perf_counter()
    there = start(job, folder)
    seconds = time.perf_counter() - begin
    expected = contents(kind, folder)
    chosen = list(range(1, there + 1))
    if places is not None and places < there:
        chosen = [1 + i * there // places for i in range(places)]
    found = {'places': there, 'kills': 0, 'killed_at_places': 0, 'killed_at_moments': 0, 'restarts': 0, 'equal': 0,
             'different': 0}
    for first in [*[{'at': place} for place in chosen],
                  *[{'after': rng.uniform(0, seconds)} for _ in range(moments)]]:
        shutil.rmtree(folder, ignore_errors=True)
        if start(job, folder, **first) >= 0:
            continue  # done before the moment came
        found['kills'] += 1
        found['killed_at_places' if 'at' in first else 'killed_at_moments'] += 1
        if rng.random() < 0.25:  # once more, while it goes on
            found['restarts'] += 1
            found['kills'] += start(job, folder, at=rng.randint(1, there)) < 0
        found['restarts'] += 1
        start(job, folder)
        same = contents(kind, folder)
        found['equal' if same == expected else 'different'] += 1
        if same != expected:
            names = [name for name in {**same, **expected} if same.get(name) != expected.get(name)]
            print(f'  {kind} killed at {first}: {", ".join(names)}')
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kinds', nargs='+', default=['train', 'encode', 'index', 'study'])
    parser.add_argument('--places', type=int, help='places to kill each at (default: all)')
    parser.add_argument('--moments', type=int, default=25, help='random moments to kill each at')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path, metavar='OUT', help='write one JSON object a kind and line')
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    multiprocessing.set_start_method('fork')
    sys.modules['drin_pyg.experiments.ablate'].get_context = lambda _: multiprocessing.get_context('fork')
    sys.modules['drin_pyg.features.encode_rows'].SAVE_EVERY = 1
    rng = random.Random(arguments.seed)
    lines = []
    with tempfile.TemporaryDirectory() as root:
        root = Path(root)
        make_source(root / 'source', 45)
        make_source(root / 'small', 180)
        start(lambda folder: encode_folder(root / 'source', folder, 'text'), root / 'tables')
        start(partial(train, root / 'tables'), root / 'run')
        jobs = {
            'train': partial(train, root / 'tables'),
            'encode': lambda folder: encode_folder(root / 'small', folder, 'text'),
            'index': partial(build_index, root / 'run'),
            'study': partial(study, root / 'tables'),
        }
        for kind in arguments.kinds:
            found = attack(kind, jobs[kind], root / 'out' / kind, arguments.places, arguments.moments, rng)
            lines.append({'kind': kind, **found})
            print('  '.join(f'{name} {value}' for name, value in lines[-1].items()), flush=True)
    if arguments.json:
        arguments.json.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    show_machine()
    if any(line['different'] for line in lines):
        sys.exit(1)


if __name__ == '__main__':
    main()

r"""Damaged files for every reader: is the answer right, or an error that names the file?

Valid examples of every format (``formats.py``) are damaged in one to three places (``mutations.py``) and read in a
worker process. A reader may read what is there, or raise an error that it documents and that names the file. Anything
else is a failure, whose input is kept: another exception, a result that contradicts itself, more time than
``--seconds`` or more memory than ``--memory``, an error of over 5,000 characters, the death of the process.

A case depends on the seed, the format and its number alone, but for names that are drawn (of the temporary folder, of
an index's files), where the example holds some: ``--only png --first 41 --cases 1`` repeats one.
"""

import argparse
import faulthandler
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from tqdm import tqdm

RIGHT, NAMED, FAILED = 'right', 'named error', 'failure'
LONGEST_ERROR = 5000


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--cases', type=int, default=100_000, help='in all, shared out among the formats')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', nargs='+', metavar='FORMAT', help='these formats alone')
    parser.add_argument('--first', type=int, default=0, help='number of the first case of each format')
    parser.add_argument('--seconds', type=float, default=20, help='after which a case counts as hanging')
    parser.add_argument('--memory', type=float, default=2, help='GiB that a worker may take beside what it starts with')
    parser.add_argument('--failures', type=Path, default=Path('fuzz-failures'), help='where failing inputs are kept')
    arguments = parser.parse_args(argv)
    from formats import FORMATS

    if unknown := [name for name in arguments.only or () if name not in FORMATS]:
        parser.error(f"there is no format '{unknown[0]}'; there are {', '.join(FORMATS)}")
    names = arguments.only or list(FORMATS)
    total = sum(FORMATS[name].share for name in names)
    shares = {name: max(1, round(arguments.cases * FORMATS[name].share / total)) for name in names}
    print(f'{"format":<28}{"cases":>9}{"right":>9}{"named errors":>14}{"failures":>10}', flush=True)
    sums: Counter[str] = Counter()
    for name in names:
        counts = run(name, range(arguments.first, arguments.first + shares[name]), arguments)
        sums.update(counts)
        show(name, counts)
    show('all', sums)
    return 1 if sums[FAILED] else 0


def show(name: str, counts: Counter[str]) -> None:
    r"""A line of the table."""
    print(f'{name:<28}{sum(counts.values()):>9,}{counts[RIGHT]:>9,}{counts[NAMED]:>14,}{counts[FAILED]:>10,}',
          flush=True)


def run(name: str, numbers: range, arguments: argparse.Namespace) -> Counter[str]:
    r"""Reads the cases of a format in a worker, which is started again when it dies."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        worker = Worker(name, Path(place), arguments)
        for number in tqdm(numbers, name, leave=False, disable=None):
            outcome, what = worker.ask(number)
            counts[outcome] += 1
            if outcome == FAILED:
                keep(arguments.failures / name.replace(' ', '_') / str(number), Path(place), what)
        worker.stop()
    return counts


def keep(target: Path, place: Path, what: str) -> None:
    r"""Keeps a failing input, and what went wrong."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (target / 'failure.txt').write_text(what, errors='backslashreplace')
    shutil.copy(place / 'last', target / Path((place / 'name').read_text()).name)


class Worker:
    r"""A process that reads damaged files one by one, and may die of one.

    Args:
        name: The format.
        place: Folder for the example, and the copy of it that is damaged.
        arguments: Of the command line.
    """

    def __init__(self, name: str, place: Path, arguments: argparse.Namespace):
        self.name, self.place, self.arguments = name, place, arguments
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context('fork')  # what is imported by now is there
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, daemon=True, args=(
            theirs, self.pipe, self.name, self.place, self.arguments.seed, self.arguments.memory))
        self.process.start()
        theirs.close()
        try:
            ready = self.pipe.poll(300) and self.pipe.recv()
        except EOFError:
            ready = False
        if not ready:
            raise RuntimeError(f"The example of '{self.name}' cannot be written or read: {self._log()}")

    def ask(self, number: int) -> tuple[str, str]:
        r"""What became of a case."""
        self.pipe.send(number)
        try:
            if self.pipe.poll(self.arguments.seconds):
                return self.pipe.recv()
            what = f'no answer within {self.arguments.seconds} s'
        except EOFError:
            self.process.join()
            what = f'the process died with exit code {self.process.exitcode}'
        what += self._log()
        self.process.kill()
        self.process.join()
        self.start()
        return FAILED, what

    def _log(self) -> str:
        """The last words of the worker."""
        log = self.place / 'stderr'
        return '\n' + log.read_text(errors='replace')[-3000:] if log.is_file() else ''

    def stop(self) -> None:
        self.pipe.close()
        self.process.join(10)
        self.process.kill()


def work(pipe: Connection, other: Connection, name: str, place: Path, seed: int, memory: float) -> None:
    r"""The worker: answers each number that comes with what became of the case."""
    other.close()  # the parent's end, which was forked too and would keep the pipe open
    log = os.open(place / 'stderr', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 2)  # what decoders written in C have to say
    sys.stderr = open(log, 'w', errors='backslashreplace', closefd=False, buffering=1)  # noqa: SIM115
    faulthandler.enable(log)
    warnings.simplefilter('ignore')
    import torch

    from formats import FORMATS

    torch.set_num_threads(1)
    torch.manual_seed(0)
    own, example, case = FORMATS[name], place / 'example', place / 'case'
    if not example.is_dir():
        example.mkdir()
        own.write(example)
    shutil.rmtree(case, ignore_errors=True)
    shutil.copytree(example, case)
    own.read(case)
    files = sorted(path.relative_to(example) for pattern in own.damaged for path in example.glob(pattern)
                   if path.is_file())
    content = {path: (example / path).read_bytes() for path in files}
    limit = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize() + int(memory * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    pipe.send('ready')
    while True:
        try:
            number = pipe.recv()
        except EOFError:
            return
        path = _damage(f'{seed} {name} {number}', case, content)
        pipe.send(_outcome(own, case / path if own.alone else case, case))
        (case / path).write_bytes(content[path])
        if number % 500 == 0:
            os.ftruncate(log, 0)


def _damage(seed: str, case: Path, content: dict[Path, bytes]) -> Path:
    """Damages one file of the case, and says which; it is put back after it was read."""
    from mutations import damage

    rng = random.Random(seed)
    path = rng.choice(list(content))
    data = damage(rng, path.name, content[path], rng.choice(list(content.values())))
    for target in (case / path, case.parent / 'last'):  # the latter outlives the worker
        target.write_bytes(data)
    (case.parent / 'name').write_text(str(path))
    return path


def _outcome(own, what: Path, case: Path) -> tuple[str, str]:
    try:
        own.read(what)
        return RIGHT, ''
    except own.errors as error:
        message = str(error)
        if len(message) > LONGEST_ERROR:
            return FAILED, f'an error of {len(message)} characters\n{message[:1000]}'
        if str(case) not in message:
            return FAILED, f'an error that names no file\n{traceback.format_exc()[-3000:]}'
        return NAMED, ''
    except BaseException:
        return FAILED, traceback.format_exc()[-5000:]


if __name__ == '__main__':
    sys.exit(main())

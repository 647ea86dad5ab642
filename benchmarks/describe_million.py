r"""Time and peak memory of reading a large knowledge base: `drin-pyg describe` on 10^6 synthetic entities.

Each way runs in a process of its own, whose peak memory the system counts. The first only imports what the others
need; the last keeps every entity as a Python object, which is what streaming avoids.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import show_machine

WAYS = {
    'imports alone': 'import drin_pyg.datasets',
    'describe': 'from drin_pyg.datasets import describe, open_dataset; print(describe(open_dataset(folder)).format())',
    'look up 100,000 ids': 'from drin_pyg.datasets import open_dataset; '
                           'rows = open_dataset(folder).entities.rows([f"Q{i * 7}" for i in range(100_000)]); '
                           'assert (rows >= 0).all()',
    'all entities as objects': 'from drin_pyg.datasets import open_dataset; kept = list(open_dataset(folder).entities)',
}
# Pages of the file itself, which is mapped, count in the peak too; the system takes them back when it needs memory.
MEASURE = """
import re, resource
anonymous = re.search(r'RssAnon:\\s+(\\d+)', open('/proc/self/status').read())[1]
print('measured', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, anonymous)
"""


def write(folder: Path, entities: int) -> None:
    r"""Entities as long as those of WikiMEL, and a thousand mentions with ten candidates each."""
    words = 'Sex: male. Birth: 1732, Westmoreland County. Occupation: military officer, politician, statesperson. '
    with open(folder / 'entities.jsonl', 'w', encoding='utf-8') as file:
        for i in range(entities):
            entity = {'id': f'Q{i}', 'name': f'Entity number {i}', 'description': f'{words * 2}{i}'}
            file.write(json.dumps(entity) + '\n')
    with open(folder / 'mentions.jsonl', 'w', encoding='utf-8') as file:
        for i in range(1000):
            candidates = [f'Q{(i * 7919 + j * 104729) % entities}' for j in range(10)]
            file.write(json.dumps({'id': str(i), 'sentence': f'Here is number {i}.', 'mention': f'number {i}',
                                   'answer': candidates[0], 'candidates': candidates}) + '\n')


def main(entities: int) -> None:
    show_machine()
    with tempfile.TemporaryDirectory() as place:
        write(Path(place), entities)
        size = (Path(place) / 'entities.jsonl').stat().st_size / 2**20
        print(f'\n{entities:,} entities, {size:.0f} MiB of JSON lines')
        base = None
        for name, code in WAYS.items():
            start = time.perf_counter()
            done = subprocess.run([sys.executable, '-W', 'ignore', '-c', f'folder = {place!r}; {code}\n{MEASURE}'],
                                  capture_output=True, text=True, check=True)
            seconds = time.perf_counter() - start
            peak, own = (int(number) / 1024 for number in done.stdout.split('measured ')[1].split())
            base = base or (peak, own)
            print(f'  {name:<26} {seconds:>7.1f} s   peak {peak:>6.0f} MiB ({peak - base[0]:>5.0f} above the imports), '
                  f'of its own {own:>6.0f} MiB ({own - base[1]:>5.0f})')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--entities', type=int, default=1_000_000)
    main(parser.parse_args().entities)

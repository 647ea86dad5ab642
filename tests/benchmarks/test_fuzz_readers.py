"""A few hundred damaged files of every format; and the fuzzer itself: it finds what is there to be found, and again."""

import argparse
import gzip
import importlib
import io
import os
import random
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from safetensors.numpy import save

from tests.benchmarks import scripts

fuzz = importlib.import_module('fuzz_readers')
formats = importlib.import_module('formats')
mutations = importlib.import_module('mutations')
# All but those whose example takes a second or more to make.
QUICK = [name for name in formats.FORMATS if name not in ('tables', 'lines to link', 'emoji', 'published model')]


def test_no_reader_fails(tmp_path):
    # In a process of its own, as it forks: PyTorch's gradients may not survive that, after what this process did.
    failures = tmp_path / 'failures'
    done = subprocess.run([sys.executable, '-W', 'ignore', scripts.FOLDER / 'fuzz_readers.py', '--cases', '400',
                           '--failures', failures, '--only', *QUICK], capture_output=True, text=True, timeout=1500)
    printed = done.stdout
    assert done.returncode == 0, printed + done.stderr[-3000:] + ''.join(
        path.read_text() for path in failures.rglob('failure.txt'))
    assert [line.split('  ')[0] for line in printed.splitlines()] == ['format', *QUICK, 'all']
    cases, right, named, failed = (int(number.replace(',', '')) for number in printed.splitlines()[-1].split()[1:])
    assert cases == right + named + failed
    assert min(right, named) > 50  # it damages enough, and not too much


def behaviour(folder):
    """A reader with all that can go wrong, drawn by the damaged file's first byte."""
    first = (folder / 'x.bin').read_bytes()[:1]
    kind = first[0] % 8 if first else 0
    if kind == 1:
        raise ValueError(f"'{folder / 'x.bin'}' is damaged")
    if kind == 2:
        raise ValueError('something is damaged')
    if kind == 3:
        raise KeyError('x')
    if kind == 4:
        os.abort()
    if kind == 5:
        time.sleep(60)
    if kind == 6:
        raise ValueError(f"'{folder}' " + 'x' * 10_000)
    if kind == 7:
        bytearray(2**33)


@pytest.mark.filterwarnings('ignore:This process .* is multi-threaded')
def test_every_kind_of_failure_is_found_and_kept(tmp_path, monkeypatch, capsys):
    def write(folder):
        (folder / 'x.bin').write_bytes(b'\0' * 3)

    monkeypatch.setitem(formats.FORMATS, 'all that can go wrong', formats.Format(write, behaviour))
    # Cases that have every kind of failure, and one that hangs.
    arguments = ['--only', 'all that can go wrong', '--first', '293', '--cases', '16', '--seconds', '10',
                 '--memory', '1']
    outcomes = []
    for name in ('one', 'two'):
        assert fuzz.main([*arguments, '--failures', str(tmp_path / name)]) == 1
        found = {path.parent.name: path.read_text() for path in (tmp_path / name).rglob('failure.txt')}
        outcomes.append(({number: text.splitlines()[0] for number, text in found.items()}, capsys.readouterr().out))
    assert outcomes[0] == outcomes[1]  # a seed gives the same cases
    whole = '\n'.join(path.read_text() for path in (tmp_path / 'one').rglob('failure.txt'))
    for sign in ('names no file', "KeyError: 'x'", 'exit code -6', 'no answer within 10.0 s', 'an error of 10',
                 'MemoryError'):
        assert sign in whole
    number = next(iter(outcomes[0][0]))
    assert fuzz.main([*arguments[:2], '--cases', '1', '--first', number, *arguments[6:],
                      '--failures', str(tmp_path / 'again')]) == 1
    kept = [(tmp_path / name / 'all_that_can_go_wrong' / number / 'x.bin').read_bytes() for name in ('one', 'again')]
    assert kept[0] == kept[1]


def test_an_unknown_format_is_named(capsys):
    with pytest.raises(SystemExit):
        fuzz.main(['--only', 'cuneiform'])
    assert "there is no format 'cuneiform'" in capsys.readouterr().err


def written(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


LINES = b'{"a": [1, "two", null]}\n' * 3
EXAMPLES = {
    'x.json': b'{"a": [1, "two", {"b": null, "c": [2.5, true]}], "d": "four"}', 'x.jsonl': LINES, 'x.bin': LINES,
    'x.gz': gzip.compress(LINES), 'x.yaml': b'a: 1\nb: [1, two]\nc:\n  d: e\n',
    'x.npy': written(lambda file: np.save(file, np.ones((3, 4), np.float32))),
    'x.npz': written(lambda file: np.savez(file, a=np.ones(3), b=np.zeros((2, 2)))),
    'x.safetensors': save({'a': np.ones(3), 'b': np.zeros((2, 2))}),
}


@pytest.mark.parametrize('name', EXAMPLES)
def test_mutations_change_and_repeat(name):
    data = EXAMPLES[name]
    results = [[mutations.damage(random.Random(seed), name, data, b'other') for seed in range(200)] for _ in range(2)]
    assert results[0] == results[1]
    counts = Counter(result == data for result in results[0])
    assert counts[False] > 150
    assert len(set(results[0])) > 100


def test_a_worker_ends_with_its_pipe(tmp_path):
    arguments = argparse.Namespace(seed=0, memory=1.0, seconds=30)
    worker = fuzz.Worker('recipe', tmp_path, arguments)
    assert worker.ask(0)[0] in (fuzz.RIGHT, fuzz.NAMED)
    worker.pipe.close()
    worker.process.join(60)
    assert worker.process.exitcode == 0

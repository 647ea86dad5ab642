"""Two processes train what one process trains."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.fit_together import train
from tests.training.test_fit import metrics_of

ROOT = Path(__file__).resolve().parents[2]
# Said once per process when libraries are imported, before a test could say that it does not matter.
IMPORTS = 'ignore:`torch.jit.script` is deprecated:FutureWarning,ignore:`isinstance(treespec:FutureWarning'


def torchrun(module, *arguments, processes=2):
    """A module in several processes; a warning is an error there, too."""
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': f'error,{IMPORTS}', 'PYTHONPATH': str(ROOT)}
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node',
         str(processes), '-m', module, *map(str, arguments)],
        capture_output=True, text=True, timeout=900, env=environment, cwd=ROOT)


def together(folder, *arguments):
    """The reports of both processes."""
    result = torchrun('tests.training.fit_together', folder, *arguments)
    assert result.returncode == 0, result.stderr
    return [json.loads(folder.with_name(f'{folder.name}-{rank}.json').read_text()) for rank in range(2)]


def largest_difference(one, other):
    assert one['state'].keys() == other['state'].keys()
    return max(abs(x - y) for name, values in one['state'].items()
               for x, y in zip(values, other['state'][name], strict=True))


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp('alone') / 'run'
    return train(folder, 3), folder


def test_two_processes_train_what_one_does_and_resume(alone, tmp_path):
    report, folder = alone
    first, second = together(tmp_path / 'run', 1)
    assert first == second
    assert first['epochs'] == 1
    assert largest_difference(first, report) > 1e-3
    first, second = together(tmp_path / 'run', 3, '--resume')
    assert first == second
    assert first['epochs'] == report['epochs'] == 3
    # The order of sums differs, and nothing else.
    assert largest_difference(first, report) < 1e-8
    assert first['best_val_mrr'] == report['best_val_mrr']
    # Of the loss and the figures of every epoch, too; and one process wrote: no line is there twice.
    curves = [metrics_of(place) for place in (folder, tmp_path / 'run')]
    assert len(curves[1]) == len(curves[0]) == 3
    for row, other in zip(*curves, strict=True):
        assert {name: float(x) for name, x in other.items() if x} == pytest.approx(
            {name: float(x) for name, x in row.items() if x}, abs=1e-8)
    assert sorted(path.name for path in (tmp_path / 'run' / 'checkpoints').iterdir()) == ['best.ckpt', 'last.ckpt']


def test_a_process_may_have_nothing_to_do(tmp_path):
    # Every mention has more pairs than the budget, so every batch is one mention, and the second process has none.
    report = train(tmp_path / 'alone', 1, 'margin', max_pairs=3)
    assert largest_difference(report, train(tmp_path / 'other', 1, 'margin')) > 1e-3
    first, second = together(tmp_path / 'two', 1, '--loss', 'margin', '--max-pairs', 3)
    assert first == second
    assert largest_difference(first, report) < 1e-8
    assert first['best_val_mrr'] == report['best_val_mrr']


def test_a_parameter_that_nothing_reads_is_an_error(tmp_path):
    result = torchrun('tests.training.fit_together', tmp_path / 'run', 1, '--unused')
    assert result.returncode != 0
    assert 'parameters that were not used in producing the loss' in result.stderr


def test_the_command_under_torchrun(tmp_path):
    out = tmp_path / 'run'
    result = torchrun('drin_pyg', 'train', 'emoji', '--out', out, '--epochs', 1, '--width', 16)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count('Best validation MRR') == 1
    assert {'calibration.json', 'checkpoints', 'metrics.csv', 'model', 'recipe.yaml', 'run.json'} \
        <= {path.name for path in out.iterdir()}
    assert not [path for path in out.rglob('*') if path.suffix == '.tmp']


def test_reports_are_of_what_was_trained(alone):
    # The comparison above would be void if nothing moved.
    assert any(torch.tensor(values).std() > 0.05 for values in alone[0]['state'].values() if len(values) > 1)

"""The command as a user meets it: a process, its output and its exit code."""

import io
import json
import shutil
import subprocess
import sys
import tomllib
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow
import pytest
import torch
import yaml
from pyarrow import parquet

import drin_pyg
import drin_pyg.experiments
from drin_pyg.cli import main
from drin_pyg.datasets import EmojiMEL, write_mel_folder
from drin_pyg.files import fingerprint, read_record, write_record
from tests.evaluation.published_reference import write_folder
from tests.experiments.test_table import folders  # noqa: F401
from tests.features.tiny_models import save_clip

EXAMPLES = Path(__file__).resolve().parents[1] / 'examples'


def spawn(*arguments):
    """The command as a process of its own, which takes seconds to import what it needs."""
    return subprocess.run([sys.executable, '-c', 'from drin_pyg.cli import main; main()', *map(str, arguments)],
                          capture_output=True, text=True, timeout=300)


def run(*arguments):
    """The command in this process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        patch.setattr(sys, 'argv', ['drin-pyg', *map(str, arguments)])
        patch.setenv('PYTHONWARNINGS', 'ignore')
        with redirect_stdout(stdout), redirect_stderr(stderr), pytest.raises(SystemExit) as stop:
            main()
    return SimpleNamespace(returncode=stop.value.code, stdout=stdout.getvalue(), stderr=stderr.getvalue())


@pytest.mark.parametrize('command', [(), *((name, ) for name in (
    'demo', 'describe', 'convert', 'retrieve', 'encode', 'train', 'calibrate', 'evaluate', 'index', 'link', 'link-many',
    'parity', 'audit', 'ablate', 'diagnose', 'explain', 'card'))])
def test_help(command):
    result = run(*command, '--help')
    assert result.returncode == 0
    assert 'Usage' in result.stdout


def test_version():
    result = run('--version')
    assert result.returncode == 0
    lines = dict(line.split(' ') for line in result.stdout.splitlines())
    assert list(lines) == ['drin_pyg', 'torch', 'torch_geometric', 'python']
    assert lines['drin_pyg'] == drin_pyg.__version__ == tomllib.loads(
        (EXAMPLES.parent / 'pyproject.toml').read_text())['project']['version']
    assert lines['torch'] == torch.__version__.split('+')[0]


@pytest.mark.parametrize(('arguments', 'message'), [
    (('train', '--nonsense'), 'No such option'),
    (('nonsense', ), 'No such command'),
    (('link', 'nowhere', '--sentence', 'x', '--mention', 'x'), "'nowhere' is no training run"),
    (('evaluate', 'nowhere'), "'nowhere' is no training run"),
    (('calibrate', 'nowhere'), "'nowhere' is no training run"),
    (('index', 'nowhere'), "'nowhere' is no training run"),
    (('link-many', 'nowhere', 'in.jsonl', '--out', 'out.jsonl'), "'nowhere' is no training run"),
    (('parity', 'nowhere'), 'config.json'),
    (('train', 'nowhere', '--out', 'out'), "'nowhere' holds no encoded tables"),
    (('train', 'emoji', '--out', 'out', '--without', 'nonsense'), "Unknown relation 'nonsense'"),
    (('train', 'emoji', '--out', 'out', '--config', 'nowhere.yaml'), 'nowhere.yaml'),
    (('describe', 'nowhere'), "no folder 'nowhere'"),
    (('describe', '.'), 'no data set that is known here'),
    (('convert', 'nowhere', 'out'), "no folder 'nowhere'"),
    (('encode', 'nowhere', '--out', 'out'), "no folder 'nowhere'"),
    (('encode', 'emoji', '--out', 'out', '--preset', 'nothing'), "no preset 'nothing'"),
    (('encode', 'emoji', '--out', 'out', '--set', 'x'), 'NAME=VALUE'),
    (('encode', 'emoji', '--out', 'out', '--set', 'x=1'), "Preset 'offline'"),
    (('retrieve', 'nowhere', 'out'), "no folder 'nowhere'"),
    (('link', 'nowhere', '--mention', 'x'), 'sentence'),
    (('train', 'emoji', '--out', 'out', '--epochs', '0'), 'epochs'),
    (('link-many', 'run', 'in.jsonl', '--out', 'out.jsonl', '--shard', 5), "--shard means nothing to the engine"),
    (('link-many', 'run', 'in.parquet', '--out', 'out', '--batch-size', 5), "--batch-size means nothing to the engine"),
    (('link-many', 'run', 'in.parquet', '--out', 'out', '--workers', 2), "--workers means nothing to the engine"),
    (('link-many', 'run', 'in.parquet', '--out', '-'), 'Links of parquet are written to a folder'),
])
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert 'Traceback' not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_can_mend_keeps_its_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(drin_pyg.experiments, 'ablate', lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run('ablate', 'emoji', '--out', tmp_path / 'out')


def test_stopped_by_its_user_it_ends_as_other_commands_do(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(drin_pyg.experiments, 'ablate', stop)
    result = run('ablate', 'emoji', '--out', tmp_path / 'out')
    assert (result.returncode, result.stdout, result.stderr) == (130, '', '')


def test_errors_of_a_process(tmp_path):
    result = spawn('evaluate', tmp_path)
    assert result.returncode == 2
    assert result.stderr == f"drin-pyg: '{tmp_path}' is no training run: 'run.json' is missing\n"


def test_evaluate_and_link(run_folder):
    result = spawn('evaluate', run_folder, '--split', 'val', '--json', '-q')
    assert result.returncode == 0, result.stderr
    metrics = json.loads(result.stdout)
    assert metrics['num_mentions'] == 391
    assert metrics['recall'] == 1
    assert 0.7 < metrics['hits']['1'] <= 1

    sentence = 'A white bird with a long neck swam on the lake.'
    image = EXAMPLES / 'swan.png'
    result = run('link', run_folder, '--sentence', sentence, '--mention', 'bird', '--image', image, '-q')
    assert result.returncode == 0, result.stderr
    assert 'swan' in result.stdout.splitlines()[1]


def test_the_published_protocol_step_by_step(run_folder):
    result = run('evaluate', run_folder, '--split', 'val', '--protocol', 'published', '-q')
    assert result.returncode == 0
    assert 'published: answer appended to every list' in result.stdout
    figures = json.loads(run('evaluate', run_folder, '--split', 'val', '--protocol', 'published', '--json',
                             '-q').stdout)
    assert figures['honest'] == figures['appended'] == figures['published']  # pair context, and all are retrieved
    assert figures['recall'] == 1


def test_train_and_resume(tmp_path):
    small = ('train', 'emoji', '--out', tmp_path / 'run', '--epochs', 1, '--width', 8, '--layers', 0, '-q')
    result = run(*small)
    assert result.returncode == 0, result.stderr
    assert 'Best validation MRR' in result.stdout
    assert (tmp_path / 'run' / 'calibration.json').is_file()
    refused = run(*small)
    assert refused.returncode == 2
    assert 'already holds a training run' in refused.stderr
    resumed = run(*small[:4], '--epochs', 2, *small[6:], '--resume')
    assert resumed.returncode == 0, resumed.stderr
    assert 'in 2 epochs' in resumed.stdout


@pytest.fixture(scope='module')
def own(tmp_path_factory):
    """A knowledge base of one's own: real records, written by hand in the canonical form."""
    emoji = EmojiMEL()
    entities = emoji.entities[::45]
    known = {entity.id for entity in entities}
    mentions = [replace(mention, candidates=()) for mention in emoji.mentions if mention.answer in known]
    folder = tmp_path_factory.mktemp('own') / 'data'
    write_mel_folder(entities, mentions, folder, copy_images=True)
    return folder


def test_the_whole_way_from_files_to_a_linked_mention(own, tmp_path):
    """Every step is one command, and its output the next one's input."""
    described = run('describe', own, '--json', '-q')
    assert described.returncode == 0, described.stderr
    found = json.loads(described.stdout)
    assert found['entities'] == 40
    assert found['findings']['no_candidates']['count'] == sum(found['mentions'].values())

    steps = [
        ('convert', own, tmp_path / 'own', '--copy-images'),
        ('retrieve', tmp_path / 'own', tmp_path / 'listed', '-k', 8, '-q'),
        ('encode', tmp_path / 'listed', '--out', tmp_path / 'tables', '--config', tmp_path / 'encode.yaml', '-q'),
        ('train', tmp_path / 'tables', '--out', tmp_path / 'run', '--config', tmp_path / 'recipe.yaml', '-q'),
        ('evaluate', tmp_path / 'run', '--json', '-q'),
        ('link', tmp_path / 'run', '--sentence', 'it rains', '--mention', 'rain', '--json', '-q'),
    ]
    (tmp_path / 'encode.yaml').write_text('preset: offline\n')
    (tmp_path / 'recipe.yaml').write_text('max_epochs: 1\nlr: 1e-3\nmodel:\n  hidden_channels: 16\n')
    outputs = {}
    for step in steps:
        result = run(*step)
        assert result.returncode == 0, result.stderr
        outputs[step[0]] = result.stdout
    assert 'recall@8' in outputs['retrieve']
    assert 'entity   text 40 x 384' in outputs['encode']
    metrics = json.loads(outputs['evaluate'])
    assert metrics['num_mentions'] == found['mentions']['test']
    assert 0 < metrics['recall'] <= 1
    again = run('evaluate', tmp_path / 'run', '--data', tmp_path / 'tables', '--json', '-q')
    assert json.loads(again.stdout) == metrics
    assert len(json.loads(outputs['link'])['candidates']) == 5
    assert yaml.safe_load((tmp_path / 'run' / 'recipe.yaml').read_text())['lr'] == 1e-3

    # Tables that changed since the run was trained are refused by name.
    manifest = tmp_path / 'tables' / 'tables.json'
    write_record(manifest, {**read_record(manifest), 'key': '0'})
    changed = run('evaluate', tmp_path / 'run', '-q')
    assert changed.returncode == 2
    assert 'holds other tables' in changed.stderr


def test_local_models_are_found_from_another_folder(own, tmp_path, monkeypatch):
    save_clip(tmp_path / 'models' / 'clip')
    monkeypatch.chdir(tmp_path)
    assert run('retrieve', own, 'listed', '-k', 3, '--method', 'name', '-q').returncode == 0
    result = run('encode', 'listed', '--out', 'tables', '--preset', 'clip', '--set', 'clip=local-dir:models/clip', '-q')
    assert result.returncode == 0, result.stderr
    assert run('train', 'tables', '--out', 'run', '--epochs', 1, '--width', 8, '-q').returncode == 0
    monkeypatch.chdir(own)
    result = run('link', tmp_path / 'run', '--sentence', 'it rains', '--mention', 'rain', '-q')
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 8


@pytest.fixture(scope='module')
def calibrated(run_folder, tmp_path_factory):
    """A run, calibrated by the command."""
    folder = tmp_path_factory.mktemp('calibrated') / 'run'
    shutil.copytree(run_folder, folder)
    result = run('calibrate', folder, '--nil-share', 0.4, '-q')
    assert result.returncode == 0, result.stderr
    assert 'Temperature' in result.stdout
    assert '156 of 391 mentions are NIL' in result.stdout
    return folder


def test_a_calibrated_run_decides_and_is_evaluated(calibrated):
    result = run('evaluate', calibrated, '--json', '-q')
    decision = json.loads(result.stdout)['decision']
    assert (decision['mentions'], decision['nil']) == (719, 287)
    assert 'NIL decision (287 of 719' in run('evaluate', calibrated, '-q').stdout
    result = run('link', calibrated, '--sentence', 'it rains', '--mention', 'rain', '-q')
    assert 'NIL: yes (confidence' in result.stdout or 'NIL: no (confidence' in result.stdout
    assert run('calibrate', calibrated, '--nil-share', 1, '-q').returncode == 2


def test_index(calibrated, tmp_path):
    folder = tmp_path / 'run'
    shutil.copytree(calibrated, folder)
    command = ('link', folder, '--sentence', 'it rains', '--mention', 'rain', '--json', '-q')
    before = json.loads(run(*command).stdout)
    result = run('index', folder, '-q')
    assert result.returncode == 0, result.stderr
    assert '1,799 entities' in result.stdout
    after = json.loads(run(*command).stdout)
    assert [c['id'] for c in after['candidates']] == [c['id'] for c in before['candidates']]
    again = run('index', folder, '-q')
    assert again.returncode == 2
    assert 'holds an index; --force writes over it' in again.stderr
    assert run('index', folder, '--dtype', 'float16', '--force', '-q').returncode == 0
    with open(folder / 'index' / 'index.json') as file:
        assert json.load(file)['dtype'] == 'float16'


LINES = ['{"id": "a", "sentence": "A white bird swam.", "mention": "bird", "images": ["swan.png"]}', '',
         '{"sentence": "it rains", "mention": "rain"}']


def test_link_many(calibrated, tmp_path):
    shutil.copy(EXAMPLES / 'swan.png', tmp_path)
    source, out = tmp_path / 'mentions.jsonl', tmp_path / 'new' / 'links.jsonl'
    source.write_text('\n'.join(LINES) + '\n')
    result = run('link-many', calibrated, source, '--out', out, '-k', 2, '-q')
    assert result.returncode == 0, result.stderr
    assert '2 mentions linked, 0 could not be' in result.stdout
    links = [json.loads(line) for line in out.read_text().splitlines()]
    assert [link['id'] for link in links] == ['a', '2']
    assert [len(link['candidates']) for link in links] == [2, 2]
    alone = run('link', calibrated, '--sentence', 'A white bird swam.', '--mention', 'bird', '--image',
                EXAMPLES / 'swan.png', '-k', 2, '--json', '-q')
    assert links[0]['candidates'][0]['name'] == json.loads(alone.stdout)['candidates'][0]['name'] == 'swan'

    source.write_text('\n'.join([*LINES, '{"sentence": "x"}', LINES[2]]))
    refused = run('link-many', calibrated, source, '--out', out, '-q')
    assert refused.returncode == 2
    assert "Record 3: 'mention' is missing" in refused.stderr
    assert len(out.read_text().splitlines()) == 2  # the old file
    assert list(out.parent.iterdir()) == [out]
    result = run('link-many', calibrated, source, '--out', out, '--on-error', 'yield', '-q')
    assert '3 mentions linked, 1 could not be' in result.stdout
    links = [json.loads(line) for line in out.read_text().splitlines()]
    assert links[2] == {'id': None, 'record': 3, 'error': "'mention' is missing"}
    assert links[3]['candidates'] == links[1]['candidates']


def test_link_many_parquet_to_parquet(calibrated, tmp_path):
    shutil.copy(EXAMPLES / 'swan.png', tmp_path)
    source, out = tmp_path / 'mentions.parquet', tmp_path / 'links'
    lines = [json.loads(line) for line in LINES if line]
    parquet.write_table(pyarrow.Table.from_pylist([*lines, {'sentence': 'x', 'mention': ''}]), source)
    refused = run('link-many', calibrated, source, '--out', out, '-k', 2, '-q')
    assert refused.returncode == 2
    assert 'Record 3: The mention is empty' in refused.stderr
    result = run('link-many', calibrated, source, '--out', out, '-k', 2, '--on-error', 'yield', '-q')
    assert result.returncode == 0, result.stderr
    assert '2 mentions linked, 1 could not be' in result.stdout
    rows = parquet.read_table(out).to_pylist()
    assert [row['id'] for row in rows] == ['a', '2', '3']
    assert rows[0]['candidates'][0]['name'] == 'swan'
    assert rows[2]['candidates'] is None
    assert run('link-many', calibrated, source, '--out', out, '-k', 3, '-q').returncode == 2  # another job
    lines = tmp_path / 'mentions.jsonl'
    lines.write_text(LINES[2])
    for engine, path, message in (('stream', source, "The engine 'stream' reads JSON lines, and '"),
                                  ('local', lines, "The engine 'local' reads parquet, and '")):
        assert message in run('link-many', calibrated, path, '--out', tmp_path / 'x', '--engine', engine).stderr
    without = run('link-many', calibrated, source, '--out', tmp_path / 'x', '--engine', 'ray', '-q')
    assert 'has no index for several processes to share; make it with `drin-pyg index' in without.stderr


def test_link_many_as_a_part_of_a_pipe(run_folder):
    result = subprocess.run(
        [sys.executable, '-c', 'from drin_pyg.cli import main; main()', 'link-many', run_folder, '-', '--out', '-',
         '-q'], input=LINES[2] + '\n', capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)['mention'] == 'rain'
    assert '1 mentions linked' in result.stderr


def test_retrieve_keeps_lists_that_are_there(own, tmp_path):
    listed, by_name = tmp_path / 'listed', ('--method', 'name', '-q')
    first = run('retrieve', own, listed, '-k', 3, *by_name)
    assert first.returncode == 0, first.stderr
    assert 'had candidates' not in first.stdout
    again = run('retrieve', listed, tmp_path / 'kept', '-k', 5, *by_name)
    assert again.returncode == 0, again.stderr
    mentions = (listed / 'mentions.jsonl').read_text().splitlines()
    assert f'{len(mentions)} of {len(mentions)} mentions had candidates, and keep them (--replace ' in again.stdout
    assert run('retrieve', listed, tmp_path / 'new', '-k', 5, '--replace', *by_name).stdout.count('\n') \
        == again.stdout.count('\n') - 1
    counts = {name: {len(json.loads(line)['candidates'])
                     for line in (tmp_path / name / 'mentions.jsonl').read_text().splitlines()}
              for name in ('kept', 'new')}
    assert counts == {'kept': {3}, 'new': {5}}
    refused = run('retrieve', own, listed, *by_name)
    assert refused.returncode == 2
    assert f"'{listed}' is already there; name another folder" in refused.stderr
    assert (listed / 'mentions.jsonl').read_text().splitlines() == mentions


def test_check_reads_every_run_of_a_study(folders, tmp_path):  # noqa: F811
    write_record(tmp_path / 'settings.json', {'format': 1})
    ranks = folders['other'][1] / 'ranks.safetensors'
    write_record(ranks.parent / 'result.json', {'seconds': 1.0, 'files': {ranks.name: fingerprint(ranks)}})
    result = run('check', tmp_path)
    assert (result.returncode, result.stdout) == (0, f'{tmp_path}: whole\n')
    content = ranks.read_bytes()
    ranks.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    result = run('check', tmp_path)
    assert result.returncode == 2
    assert f"The run in '{ranks.parent}' is damaged" in result.stderr


def test_describe_strict(own, tmp_path):
    assert run('describe', own, '--strict', '-q').returncode == 0
    shutil.copytree(own, tmp_path / 'own')
    next((tmp_path / 'own' / 'images').iterdir()).write_bytes(b'')
    result = run('describe', tmp_path / 'own', '--strict', '-q')
    assert result.returncode == 1
    assert '1 pictures that cannot be decoded' in result.stdout
    assert '(empty)' in result.stdout
    assert run('describe', tmp_path / 'own', '-q').returncode == 0
    assert run('describe', tmp_path / 'own', '--strict', '--no-pictures', '-q').returncode == 0


def test_config_with_nonsense_is_named(tmp_path):
    for text, message in [('colour: 1', "no 'colour'"), ('lr: fast', "'lr'"), ('- 1', 'lines'), ('{', 'no YAML'),
                          ('max_epochs: 1.5', "'max_epochs'"), ('warm_start: 1', "'warm_start'"),
                          ('format: 2', 'of format 2')]:
        (tmp_path / 'recipe.yaml').write_text(text)
        result = run('train', 'emoji', '--out', tmp_path / 'run', '--config', tmp_path / 'recipe.yaml', '-q')
        assert result.returncode == 2
        assert message in result.stderr
        assert 'recipe.yaml' in result.stderr


def test_parity_prints_differences_and_fails_above_the_tolerance(tmp_path):
    write_folder(tmp_path / 'one')
    result = run('parity', tmp_path / 'one')
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'within the tolerance' in result.stdout
    result = run('parity', tmp_path / 'one', '--tolerance', '0')
    assert result.returncode == 1
    assert 'ABOVE' in result.stdout

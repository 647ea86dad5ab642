"""`drin-pyg audit` as a user meets it."""

import json

import pytest

from drin_pyg.datasets import Picture
from tests.evaluation.audited_folder import OVERLAPS, write_audited, write_text_only
from tests.test_cli import run


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('audited')
    write_audited(path)
    return path


def test_help():
    result = run('audit', '--help')
    assert result.returncode == 0
    assert 'split-out' in result.stdout


def test_table_and_exit_code(folder):
    result = run('audit', folder, '-q')
    assert result.returncode == 0, result.stderr
    assert 'picture, looks alike' in result.stdout
    assert '\nleak  Mentions have a sentence' in result.stdout
    assert run('audit', folder, '--strict', '-q').returncode == 1


def test_json_on_screen_and_in_a_file(folder, tmp_path):
    result = run('audit', folder, '--json', '--out', tmp_path / 'new' / 'audit.json', '-q')
    found = json.loads(result.stdout)
    assert json.loads((tmp_path / 'new' / 'audit.json').read_text()) == found
    assert [{kind: value['count'] for kind, value in overlap.items() if kind not in ('split', 'other')}
            for overlap in found['overlaps']] == list(OVERLAPS.values())
    assert 'split' not in found


def test_distance(folder):
    def near(*options):
        found = json.loads(run('audit', folder, '--json', '-q', *options).stdout)
        return found['distance'], [overlap.get('near_image', {}).get('count') for overlap in found['overlaps']]

    assert near() == (4, [2, 1, 1])
    assert near('--distance', 63)[1] > [2, 1, 1]
    assert near('--no-near') == (None, [None] * 3)
    assert run('audit', folder, '--distance', 64, '-q').returncode == 2


def test_split(folder, tmp_path):
    target = tmp_path / 'own'
    result = run('audit', folder, '--split-out', target, '--bind', 'sentence', '--bind', 'near_image', '--fractions',
                 0.2, 0.3, '--seed', 3, '--copy-images', '-q')
    assert result.returncode == 0, result.stderr
    assert '11 mentions in 6 groups: ' in result.stdout
    assert '\nleak  Mentions have a sentence' in result.stdout  # the audit is that of the data as they were
    again = run('audit', target, '--json', '-q')
    for overlap in json.loads(again.stdout)['overlaps']:
        assert overlap['sentence']['count'] == overlap['near_image']['count'] == 0
    refused = run('audit', folder, '--split-out', target, '-q')
    assert refused.returncode == 2
    assert 'is already there' in refused.stderr


def test_split_of_text_as_json(tmp_path):
    write_text_only(tmp_path / 'raw', with_split=False)
    result = run('audit', tmp_path / 'raw', '--split-out', tmp_path / 'own', '--no-pictures', '--bind', 'sentence',
                 '--json', '-q')
    assert result.returncode == 0, result.stderr
    split = json.loads(result.stdout)['split']
    assert split['groups'] == 8  # of 11 mentions, three sentences come twice
    assert split['largest'] == pytest.approx(2 / 11)
    strict = run('audit', tmp_path / 'own', '--strict', '-q')
    assert strict.returncode == 0, strict.stdout


@pytest.mark.parametrize(('options', 'message'), [
    (('--fractions', 0.6, 0.5), "leave some mentions for 'train', got 0.6 and 0.5"),
    (('--bind', 'colour'), "Unknown kind 'colour'"),
    (('--no-pictures', ), "--no-pictures leaves 'image' unseen"),
    (('--bind', 'near_image', '--no-near'), "--no-near leaves 'near_image' unseen"),
])
def test_splits_that_cannot_be_had_open_no_picture(folder, tmp_path, monkeypatch, options, message):
    monkeypatch.setattr(Picture, 'open', None)
    result = run('audit', folder, '--split-out', tmp_path / 'own', *options, '-q')
    assert result.returncode == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_nonsense_opens_no_picture(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Picture, 'open', None)
    (tmp_path / 'there').mkdir()
    result = run('audit', folder, '--split-out', tmp_path / 'there', '-q')
    assert (result.returncode, 'is already there' in result.stderr) == (2, True)
    result = run('audit', tmp_path / 'nowhere', '-q')
    assert (result.returncode, 'There is no folder' in result.stderr) == (2, True)

import hashlib
import os
from pathlib import Path

import pytest

from drin_pyg.files import cache_folder, content_key, digest_file, open_atomic, to_json, write_atomic


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('DRIN_PYG_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def test_writes_and_makes_folders(tmp_path):
    write_atomic(tmp_path / 'a' / 'b' / 'c.txt', b'one')
    write_atomic(tmp_path / 'a' / 'b' / 'c.txt', b'two')
    assert (tmp_path / 'a' / 'b' / 'c.txt').read_bytes() == b'two'
    assert len(list((tmp_path / 'a' / 'b').iterdir())) == 1


@pytest.mark.parametrize('step', ['fsync', 'replace'])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / 'c.txt'
    write_atomic(path, b'old')

    def fail(*_):
        raise OSError('disk is full')

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match='disk is full'):
        write_atomic(path, b'new')
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def _write_half(path):
    with open_atomic(path) as file:
        file.write(b'two')
        raise RuntimeError('stopped')


def test_a_file_under_way_is_not_there_yet(tmp_path):
    path = tmp_path / 'a' / 'c.txt'
    with open_atomic(path) as file:
        file.write(b'one')
        assert not path.exists()
    assert path.read_bytes() == b'one'
    with pytest.raises(RuntimeError, match='stopped'):
        _write_half(path)
    assert path.read_bytes() == b'one'
    assert list(path.parent.iterdir()) == [path]


def test_cache_folder_by_environment(monkeypatch, tmp_path):
    monkeypatch.setenv('DRIN_PYG_CACHE', str(tmp_path / 'own'))
    assert cache_folder() == tmp_path / 'own'
    monkeypatch.delenv('DRIN_PYG_CACHE')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    assert cache_folder() == tmp_path / 'xdg' / 'drin_pyg'
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert cache_folder() == Path.home() / '.cache' / 'drin_pyg'


def test_key_depends_on_every_part_and_where_it_ends():
    keys = [content_key(parts) for parts in (['ab', 'c'], ['a', 'bc'], ['abc'], ['abc', ''], ['c', 'ab'], [])]
    assert len(set(keys)) == 6


def test_key_of_text_is_that_of_its_bytes():
    assert content_key(['\u00e9']) == content_key(['\u00e9'.encode()])


def test_json_is_the_same_for_equal_values():
    assert to_json({'b': [1, (2, )], 'a': 'é'}) == to_json({'a': 'é', 'b': [1, [2]]}) == '{"a": "é", "b": [1, [2]]}'


def test_digest_of_a_file(tmp_path):
    (tmp_path / 'a').write_bytes(b'abc' * 100_000)
    assert digest_file(tmp_path / 'a') == hashlib.sha256(b'abc' * 100_000).hexdigest()

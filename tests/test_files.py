import logging
import os
from pathlib import Path

import pytest
import torch

from drin_pyg.files import cache_folder, cached, content_key, write_atomic


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


def test_computes_once(cache):
    calls = []

    def compute():
        calls.append(1)
        return torch.arange(6.).view(2, 3).t()  # not contiguous

    first, second = cached('table', 'k' * 64, compute), cached('table', 'k' * 64, compute)
    assert len(calls) == 1
    assert first.equal(second)
    assert first.equal(torch.arange(6.).view(2, 3).t())


@pytest.mark.parametrize(('name', 'key'), [('other', 'k' * 64), ('table', 'j' * 64)])
def test_another_name_or_key_is_another_table(cache, name, key):
    cached('table', 'k' * 64, lambda: torch.zeros(1))
    assert cached(name, key, lambda: torch.ones(1)).equal(torch.ones(1))


@pytest.mark.parametrize('damage', [lambda data: b'', lambda data: data[:-4], lambda data: b'\xff' * len(data)],
                         ids=['empty', 'cut off', 'overwritten'])
def test_damaged_file_is_computed_anew(cache, caplog, damage):
    cached('table', 'k' * 64, lambda: torch.ones(4))
    path, = cache.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert cached('table', 'k' * 64, lambda: torch.ones(4)).equal(torch.ones(4))
    assert f"Cache file '{path}' is damaged" in caplog.text
    caplog.clear()
    cached('table', 'k' * 64, lambda: pytest.fail('it should have been stored'))
    assert caplog.text == ''


def test_file_without_the_table_is_computed_anew(cache, caplog):
    from safetensors.torch import save

    cached('table', 'k' * 64, lambda: torch.ones(4))
    path, = cache.iterdir()
    path.write_bytes(save({'something': torch.zeros(4)}))
    assert cached('table', 'k' * 64, lambda: torch.ones(4)).equal(torch.ones(4))
    assert 'is damaged' in caplog.text


def test_a_failed_computation_stores_nothing(cache):
    with pytest.raises(ZeroDivisionError):
        cached('table', 'k' * 64, lambda: 1 / 0)
    assert not cache.exists()

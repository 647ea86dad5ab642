import hashlib
import os
import threading
from pathlib import Path

import pytest

from drin_pyg.files import (
    cache_folder,
    check_file,
    claim,
    content_key,
    digest_file,
    fingerprint,
    naming,
    open_atomic,
    read_record,
    remove_leftovers,
    temporary_name,
    to_json,
    write_atomic,
    write_record,
)


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


def test_what_is_no_text_has_no_key():
    with pytest.raises(ValueError, match=r"'a .ud83d' holds half of a surrogate pair"):
        content_key(['a \ud83d'])


def test_json_is_the_same_for_equal_values():
    assert to_json({'b': [1, (2, )], 'a': 'é'}) == to_json({'a': 'é', 'b': [1, [2]]}) == '{"a": "é", "b": [1, [2]]}'


def test_digest_of_a_file(tmp_path):
    (tmp_path / 'a').write_bytes(b'abc' * 100_000)
    assert digest_file(tmp_path / 'a') == hashlib.sha256(b'abc' * 100_000).hexdigest()


def test_a_folder_is_kept_to_one_writer_and_tidied_up(tmp_path):
    folder = tmp_path / 'out'
    (folder / 'inside').mkdir(parents=True)
    left, others = [temporary_name(folder / name) for name in ('a.json', 'data', 'inside/b')], \
        ['mine.tmp', '.own', '.draft.docx.tmp', '.cache.v2.tmp']  # not ours, whatever they end in
    left[1].mkdir()
    (left[1] / 'part').touch()
    for path in (left[0], left[2], *(folder / name for name in others)):
        path.touch()
    with claim(folder, inside=['inside']):
        assert sorted(path.name for path in folder.rglob('*')) == sorted([*others, '.lock', 'inside'])
        with pytest.raises(BlockingIOError, match=f"Another process is writing to '{folder}'"), claim(folder):
            pass
        left[0].touch()  # by one that is at work
    assert left[0].is_file()
    remove_leftovers(folder, 'b.json')
    assert left[0].is_file()
    remove_leftovers(folder, 'a.json')
    assert sorted(path.name for path in folder.iterdir()) == sorted([*others, 'inside'])
    with claim(folder):  # given back
        pass
    with pytest.raises(NotADirectoryError, match=r"mine\.tmp' is a file"), claim(folder / 'mine.tmp'):
        pass


def test_whoever_waits_comes_next(tmp_path):
    order = []

    def second():
        with claim(tmp_path, wait=True):
            order.append('second')

    thread = threading.Thread(target=second)
    with claim(tmp_path):
        thread.start()
        order.append('first')
    thread.join(60)
    assert order == ['first', 'second']


@pytest.mark.parametrize('record', [{}, {'a': [1, {'b': None}], 'c': 0.1, 'd': 'ü\udc80'}, {'n': float('inf')}])
def test_a_record_is_known_from_any_other(tmp_path, record):
    path = tmp_path / 'a.json'
    write_record(path, record)
    assert read_record(path) == record
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
        try:
            found = read_record(path)
        except ValueError:
            continue
        found.pop(next((name for name in found if name not in record), ''), None)  # the digest under another name
        assert found == record
        path.write_bytes(whole[:place])
        with pytest.raises(ValueError):  # noqa: PT011 - json's own
            read_record(path)


def test_a_record_without_a_digest_is_of_an_earlier_version(tmp_path):
    (tmp_path / 'a.json').write_text('{"a": 1}')
    assert read_record(tmp_path / 'a.json') == {'a': 1}
    (tmp_path / 'a.json').write_text('[1]')
    with pytest.raises(ValueError, match='no JSON object'):
        read_record(tmp_path / 'a.json')


def test_a_record_is_not_nested_without_end(tmp_path):
    (tmp_path / 'a.json').write_text('{"a": ' + '[' * 100_000 + ']' * 100_000 + '}')
    with pytest.raises(ValueError, match='it is nested too deeply'):
        read_record(tmp_path / 'a.json')


def test_a_file_is_known_by_size_and_digest(tmp_path, monkeypatch):
    path = tmp_path / 'a'
    path.write_bytes(b'one')
    known = fingerprint(path)
    check_file(path, known)
    path.write_bytes(b'two')
    with pytest.raises(ValueError, match="a' is damaged: its SHA-256"):
        check_file(path, known)
    monkeypatch.setattr('drin_pyg.files.READ_AT_ONCE', 2)
    check_file(path, known)  # too large to read in passing
    with pytest.raises(ValueError, match="a' is damaged: its SHA-256"):
        check_file(path, known, whole=True)
    path.write_bytes(b'three')
    with pytest.raises(ValueError, match='it has 5 bytes instead of 3'):
        check_file(path, known)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="a' is missing"):
        check_file(path, known)


@pytest.mark.parametrize(('error', 'message'), [
    (OSError(28, 'No space left on device'), r"No space left on device: '/out/a'"),
    (OSError('7 requested and 3 written'), r"'/out/a' could not be written whole \(7 requested.*is the disk full"),
    (OSError(2, 'No such file', '/other'), "No such file: '/other'"),
    (OSError('no connection to the hub'), '^no connection to the hub$'),  # of what is done while a file is open
])
def test_errors_of_writing_name_the_file(error, message):
    with pytest.raises(OSError, match=message), naming(Path('/out/a')):
        raise error

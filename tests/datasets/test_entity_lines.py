import json
import pickle
import re
import tracemalloc

import numpy as np
import pytest

from drin_pyg.datasets import Entity, EntityLines, entity_lines
from drin_pyg.datasets.raw_files import field

PARIS, TEXAS, ROME = Entity('Q1', 'Paris'), Entity('Q2', 'Paris, Texas'), Entity('Q3', 'Rome')


def parse(record):
    return Entity(field(record, 'id', str), field(record, 'name', str))


def line(entity):
    return json.dumps({'id': entity.id, 'name': entity.name}).encode()


def lines(path, *entities, ending=b'\n'):
    path.write_bytes(b''.join(line(entity) + ending for entity in entities))
    return EntityLines(path, parse)


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'entities.jsonl'


@pytest.fixture(params=['hash', 'one hash for all'])
def hashing(request, monkeypatch):
    """Everything must hold as well if hashes collide."""
    if request.param != 'hash':
        monkeypatch.setattr(entity_lines, '_hash', lambda name: 7)


def test_a_sequence(path):
    entities = lines(path, PARIS, TEXAS, ROME)
    assert (len(entities), entities.num_duplicates) == (3, 0)
    assert list(entities) == list(entities) == [PARIS, TEXAS, ROME]
    assert [entities[0], entities[2], entities[-1], entities[-3], entities[np.int64(1)]] == [
        PARIS, ROME, ROME, PARIS, TEXAS]
    assert [entities[1:], entities[::-2], entities[5:], entities[-2:-1]] == [
        [TEXAS, ROME], [ROME, PARIS], [], [TEXAS]]
    assert ROME in entities


@pytest.mark.parametrize('row', [3, -4, 10 ** 20])
def test_row_that_is_not_there(path, row):
    with pytest.raises(IndexError, match=f'Row {row} of 3 entities'):
        lines(path, PARIS, TEXAS, ROME)[row]


@pytest.mark.parametrize(('ids', 'rows'), [
    (['Q3', 'Q1'], [2, 0]), (['Q9'], [-1]), (['Q1', 'Q9', 'Q1', 'Q2'], [0, -1, 0, 1]), ([], []), (['q1', ''], [-1, -1]),
])
@pytest.mark.usefixtures('hashing')
def test_rows(path, ids, rows):
    found = lines(path, PARIS, TEXAS, ROME).rows(ids)
    assert (found.tolist(), found.dtype) == (rows, np.int64)


@pytest.mark.usefixtures('hashing')
def test_of_one_id_the_first_counts_and_keeps_its_place(path):
    entities = lines(path, PARIS, TEXAS, Entity('Q1', 'Another'), ROME, Entity('Q3', 'Another'), Entity('Q1', 'Third'))
    assert (list(entities), entities.num_duplicates) == ([PARIS, TEXAS, ROME], 3)
    assert entities.rows(['Q3', 'Q1', 'Q2']).tolist() == [2, 0, 1]


@pytest.mark.parametrize('content', [
    line(PARIS) + b'\n' + line(ROME),                                      # no newline at the end
    line(PARIS) + b'\r\n' + line(ROME) + b'\r\n',
    b'\n\n' + line(PARIS) + b'\n  \t\r\n' + line(ROME) + b'\n\n \n',       # blank lines
    b'  ' + line(PARIS) + b'  \n\t' + line(ROME) + b'\t',
    b'\xef\xbb\xbf' + line(PARIS) + b'\n' + line(ROME),                    # the mark that some editors put first
])
def test_ways_of_writing_lines(path, content):
    path.write_bytes(content)
    entities = EntityLines(path, parse)
    assert list(entities) == [PARIS, ROME]
    assert entities.rows(['Q3', 'Q1']).tolist() == [1, 0]


@pytest.mark.parametrize('content', [b'', b'\n', b' \r\n\n'])
def test_empty(path, content):
    path.write_bytes(content)
    entities = EntityLines(path, parse)
    assert (len(entities), entities.num_duplicates, list(entities), entities[:]) == (0, 0, [], [])
    assert entities.rows(['Q1', 'Q2']).tolist() == [-1, -1]
    with pytest.raises(IndexError, match='Row 0 of 0 entities'):
        entities[0]


@pytest.mark.usefixtures('hashing')
@pytest.mark.parametrize('escaped', [True, False])
def test_ids_in_any_script(path, escaped):
    ids = ['Zürich', '東京', '\U0001F600', 'Q1\x00', 'Q1', '', 'a\u2028b\x85c']
    if escaped:
        ids += ['\ud800', '\udc00']  # halves of a pair, which UTF-8 cannot write
    path.write_text(''.join(json.dumps({'id': name, 'name': name}, ensure_ascii=escaped) + '\n' for name in ids),
                    encoding='utf-8')
    entities = EntityLines(path, parse)
    assert [entity.id for entity in entities] == ids
    assert entities.rows(ids[::-1]).tolist() == list(range(len(ids)))[::-1]
    assert entities.rows(['zürich', '\udbff']).tolist() == [-1, -1]


@pytest.mark.parametrize(('broken', 'message'), [
    (b'{"id": "Q2"', 'Expecting'),
    (b'[1, 2]', r'a line must be an object, got \[1, 2\]'),
    (b'"Q2"', "a line must be an object, got 'Q2'"),
    (b'null', 'a line must be an object, got None'),
    (b'{"id": "Q2"}', "'name' is missing"),
    (b'{"id": 2, "name": "a"}', "'id' must be a string, got 2"),
    (b'{"id": "Q2", "name": "Z\xfcrich"}', "'utf-8' codec can't decode byte 0xfc"),
    (line(PARIS) + line(ROME), 'Extra data'),
    (b'\xef\xbb\xbf' + b'{', 'Expecting'),
    (b'[' * 100_000, 'maximum recursion depth'),
])
def test_broken_line_is_named(path, broken, message):
    path.write_bytes(line(PARIS) + b'\n\n' + broken + b'\n' + line(ROME))
    with pytest.raises(ValueError, match=f"^'{re.escape(str(path))}', line 3: {message}"):
        EntityLines(path, parse)


def test_missing_file(path):
    with pytest.raises(FileNotFoundError, match=r'entities\.jsonl'):
        EntityLines(path, parse)


def test_file_that_changes_afterwards_is_named(path):
    entities = lines(path, PARIS, ROME)
    path.write_bytes(path.read_bytes().replace(b'"id"', b'"xx"'))  # in place and of the same size
    with pytest.raises(ValueError, match=r"entities.jsonl': 'id' is missing"):
        entities[0]


@pytest.mark.parametrize('opened', [False, True])
def test_pickling(path, opened):  # on its way into another process
    entities = lines(path, PARIS, TEXAS, ROME)
    if opened:
        assert entities[0] == PARIS  # maps the file, and a map cannot be pickled
    copy = pickle.loads(pickle.dumps(entities))
    assert (list(copy), copy.num_duplicates, copy.rows(['Q3']).tolist()) == ([PARIS, TEXAS, ROME], 0, [2])
    assert entities[1] == TEXAS


def test_takes_24_bytes_an_entity(path):
    count = 50_000
    path.write_bytes(b''.join(b'{"id": "Q%d", "name": "Name %d"}\n' % (i, i) for i in range(count)))
    tracemalloc.start()
    try:
        entities = EntityLines(path, parse)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(entities) == count
    assert entities[-1] == Entity('Q49999', 'Name 49999')
    assert 24 * count <= kept < 1.2 * 24 * count
    assert peak < 4 * 24 * count

import importlib
import sys
from dataclasses import replace

import pyarrow as pa
import pytest

from drin_pyg.datasets import EntityList
from drin_pyg.linking import Link, Linker
from drin_pyg.linking.link_table import LINKS, link_table


@pytest.fixture(scope='module')
def folder(linker, tmp_path_factory):
    """A folder with a picture."""
    folder = tmp_path_factory.mktemp('pictures')
    linker.data.mentions[0].pictures[0].open().save(folder / 'a.png')
    return folder


@pytest.fixture(scope='module')
def mentions(linker):
    """With and without id, picture and candidates; some that cannot be linked."""
    ids = [entity.id for entity in linker.data.entities]
    return [
        {'id': 'a', 'sentence': 'A white bird swam.', 'mention': 'bird', 'images': ['a.png']},
        {'id': None, 'sentence': 'happy', 'mention': 'face', 'candidates': ids[:3]},
        {'id': 'bad', 'sentence': ' ', 'mention': 'face', 'candidates': ids[:3]},
        {'id': 'c', 'sentence': 'it rains', 'mention': 'rain', 'images': [], 'candidates': []},
        {'id': 'bad', 'sentence': 'x', 'mention': 'x', 'candidates': [ids[0], 'nobody', 'else']},
        {'id': 'd', 'sentence': 'it rains', 'mention': 'rain', 'images': None, 'candidates': None},
        {'id': 'bad', 'sentence': None, 'mention': 'x'},
        {'id': 'bad', 'sentence': 'x', 'mention': 'x', 'images': ['nowhere.png']},
        {'id': 'e', 'sentence': 'one', 'mention': 'one', 'candidates': ids[7:8]},
    ]


def make_table(records):
    names = list(dict.fromkeys(name for record in records for name in record))
    return pa.table({name: [record.get(name) for record in records] for name in names})


def close(row, link):
    """Whether a row of the table says what the stream says."""
    assert (row['nil'], row['error']) == (link.nil, None)
    assert row['confidence'] == pytest.approx(link.confidence, abs=1e-5)
    assert [c['id'] for c in row['candidates']] == [c.entity.id for c in link.candidates]
    assert [c['name'] for c in row['candidates']] == [c.entity.name for c in link.candidates]
    for name in ('score', 'probability'):
        assert [c[name] for c in row['candidates']] == pytest.approx([getattr(c, name) for c in link.candidates],
                                                                     abs=1e-4)


@pytest.mark.parametrize('which', ['linker', 'calibrated'])
def test_equals_the_stream(which, request, mentions, folder):
    linker = request.getfixturevalue(which)
    table = link_table(linker, make_table(mentions), 3, folder=folder, on_error='yield')
    assert table.schema == LINKS
    found = list(linker.link_many([{name: x for name, x in record.items() if x is not None} for record in mentions], 3,
                                  folder=folder, on_error='yield'))
    rows = table.to_pylist()
    assert [row['id'] for row in rows] == ['a', '2', 'bad', 'c', 'bad', 'd', 'bad', 'bad', 'e']
    assert sum(isinstance(link, Link) for link in found) == 5
    for row, link in zip(rows, found, strict=True):
        if isinstance(link, Link):
            close(row, link)
        else:
            assert row == {'id': 'bad', 'nil': None, 'confidence': None, 'candidates': None, 'error': str(link.error)}


def test_the_first_wrong_row_is_named(linker, mentions, folder):
    with pytest.raises(ValueError, match='Record 103: The sentence is empty'):
        link_table(linker, make_table(mentions), first=101, folder=folder)
    with pytest.raises(ValueError, match="Record 1: The knowledge base has no entity 'nobody'"):
        link_table(linker, make_table(mentions[4:]), folder=folder)
    assert link_table(linker, make_table(mentions[:2]), first=7, folder=folder)['id'].to_pylist() == ['a', '8']


def test_rows_do_not_depend_on_their_neighbours(linker, mentions, folder):
    good = [mentions[row] for row in (0, 1, 3, 5, 8)]
    whole = link_table(linker, make_table(good), folder=folder).to_pylist()
    for number, (record, row) in enumerate(zip(good, whole, strict=True), 1):
        alone = link_table(linker, make_table([record]), first=number, folder=folder).to_pylist()[0]
        assert [c['id'] for c in alone['candidates']] == [c['id'] for c in row['candidates']]
        assert [c['score'] for c in alone['candidates']] == pytest.approx([c['score'] for c in row['candidates']],
                                                                          abs=1e-4)


def test_nothing_in_nothing_out(linker, mentions):
    table = make_table(mentions)
    assert link_table(linker, table.slice(0, 0)).num_rows == 0
    bad = link_table(linker, table.take([2, 6]), on_error='yield')
    assert bad['candidates'].null_count == 2
    without = link_table(linker, pa.table({'sentence': ['it rains'], 'mention': ['rain']}))
    assert without['id'].to_pylist() == ['1']
    assert without['nil'].null_count == 1  # no calibration


def test_other_types_of_the_same_kind(linker):
    ids = [entity.id for entity in linker.data.entities[:3]]
    table = pa.table({
        'id': pa.array([7, 8]),
        'sentence': pa.array(['happy', 'happy']).dictionary_encode(),
        'mention': pa.array(['face', 'face'], pa.large_string()),
        'candidates': pa.array([ids, ids[:1]], pa.large_list(pa.large_string())),
    })
    found = link_table(linker, table)
    assert found['id'].to_pylist() == ['7', '8']
    assert [len(row) for row in found['candidates'].to_pylist()] == [3, 1]


def test_a_table_in_chunks_and_with_a_null_in_a_list(linker):
    ids = [entity.id for entity in linker.data.entities[:3]]
    part = pa.table({'sentence': ['x', 'happy'], 'mention': ['x', 'face'], 'candidates': [[ids[0], None], ids]})
    found = link_table(linker, pa.concat_tables([part, part.slice(1)]), on_error='yield')
    assert found['error'].to_pylist() == ['A candidate is null; give its id or leave it out', None, None]
    assert len(found['candidates'][2]) == 3


@pytest.mark.parametrize(('table', 'message'), [
    ({'sentence': ['x']}, "The column 'mention' is missing; there are sentence"),
    ({'sentence': ['x'], 'mention': ['x'], 'colour': [1]}, "There is no column 'colour'; there are id, sentence"),
    ({'sentence': ['x'], 'mention': ['x'], 'candidates': ['p']}, "The column 'candidates' must be list<.*got string"),
    ({'sentence': ['x'], 'mention': [['x']]}, "The column 'mention' must be string, got list"),
    ({'sentence': [1], 'mention': ['x']}, "The column 'sentence' must be string, got int64"),
    ({'sentence': ['x'], 'mention': ['x'], 'candidates': [[1]]}, "The column 'candidates' must be list<.*got list<"),
    ({'sentence': ['x'], 'mention': ['x'], 'start': ['0']}, "The column 'start' must be int64, got string"),
    ({'sentence': ['x'], 'mention': ['x'], 'start': [0.5]}, "The column 'start' cannot be read: .*0.5"),
    ({'sentence': ['x'], 'mention': pa.array([b'\xff']).view('string')}, "The column 'mention' cannot be read: .*UTF"),
])
def test_columns_that_are_not_right(linker, table, message):
    with pytest.raises(ValueError, match=message):
        link_table(linker, pa.table(table), on_error='yield')


def test_a_column_that_is_there_twice(linker):
    table = pa.table([['x'], ['y'], ['x']], names=['sentence', 'sentence', 'mention'])
    with pytest.raises(ValueError, match="The column 'sentence' is there twice"):
        link_table(linker, table)


def test_whole_numbers_may_be_floats_beside_nulls(linker):
    table = pa.table({'sentence': ['a bird, a bird', 'rain'], 'mention': ['bird', 'rain'], 'start': [10.0, None],
                      'end': [14.0, None], 'images': pa.nulls(2)})
    assert link_table(linker, table)['error'].null_count == 2


def test_an_unknown_candidate_is_quoted_in_part(linker):
    table = pa.table({'sentence': ['x'], 'mention': ['x'], 'candidates': [['y' * 10**6]]})
    error, = link_table(linker, table, on_error='yield')['error'].to_pylist()
    assert error == f"The knowledge base has no entity '{'y' * 80}'"


def test_half_a_surrogate_pair_is_escaped(emoji_data, linker):
    entities = list(emoji_data.entities)
    entities[3] = replace(entities[3], name='\ud83d half')
    data = replace(emoji_data, entities=EntityList(entities))
    table = pa.table({'sentence': ['x'], 'mention': ['x'], 'candidates': [[entities[3].id]]})
    found = link_table(Linker(linker.model, data), table)
    assert found['candidates'].to_pylist()[0][0]['name'] == r'\ud83d half'


def test_what_to_do_with_errors_must_be_known(linker):
    with pytest.raises(ValueError, match="'on_error' must be 'raise' or 'yield', got 'Raise'"):
        link_table(linker, pa.table({'sentence': ['x'], 'mention': ['x']}), on_error='Raise')


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, link_table.__module__)  # what others imported stays theirs
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    with pytest.raises(ImportError, match=r"need pyarrow; install it with `pip install 'drin_pyg\[parquet\]'`"):
        importlib.import_module(link_table.__module__)


def test_k_must_be_positive(linker):
    with pytest.raises(ValueError, match="'k' must be at least 1, got 0"):
        link_table(linker, pa.table({'sentence': ['x'], 'mention': ['x']}), 0)

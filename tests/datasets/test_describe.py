import json

import pytest
from PIL import Image

from drin_pyg.datasets import EmojiMEL, MELFolder, Picture, WikiMELText, describe
from tests.datasets.layouts import write_lines, write_own, write_wikimel_text


@pytest.fixture
def folder(tmp_path):
    write_own(tmp_path)
    return tmp_path


def found(count, *examples):
    return {'count': count, 'examples': list(examples)}


FINDINGS = {
    'duplicate_entity': found(1, '1 of 5'),
    'duplicate_mention': found(1, 'm3'),
    'unknown_candidate': found(1, 'Q9 of mention m0'),
    'repeated_candidate': found(1, 'mention m1'),
    'unknown_answer': found(1, 'Q9 of mention m3'),
    'not_in_sentence': found(1, 'm3'),
    'wrong_span': found(1, 'm2'),
    'missing_picture': found(1, 'gone.png of entity Q3'),
    'bad_picture': found(1, 'bad.jpg of entity Q4 (not an image)'),
    'no_description': found(1, 'Q2'),
    'no_candidates': found(1, 'm3'),
    'nil': found(1, 'm1'),
    'unanswered': found(1, 'm3'),
}


def test_figures(folder):
    description = describe(MELFolder(folder))
    assert description.to_dict() == {
        'name': f'MELFolder, {folder}',
        'entities': 4,
        'mentions': {'train': 2, 'val': 1, 'test': 2},
        'candidates': {'min': 0, 'median': 1, 'mean': 1, 'max': 2},  # 2, 1, 1, 0 and 1
        'recall': {'train': 0.5, 'test': 0},  # NIL has no answer to find; in test, one answer and no candidates for it
        'pictures': {'mention': 1, 'entity': 4, 'distinct': 4, 'opened': 4},
        'findings': FINDINGS,
        'unusable': 9,
    }
    assert json.loads(json.dumps(description.to_dict())) == description.to_dict()


def test_format(folder):
    assert describe(MELFolder(folder)).format().split('\n') == [
        f'data set           MELFolder, {folder}',
        'entities           4',
        'mentions           5 (train 2, val 1, test 2)',
        'candidates         0 to 2 a mention, median 1, mean 1.0',
        'recall, train      50.00%',
        'recall, test       0.00%',
        'pictures           1 of mentions, 4 of entities, 4 distinct',
        '',
        'Found (! = not usable as it stands):',
        '!         1 entities whose id was there before (the first counts): 1 of 5',
        '!         1 mentions whose id was there before (kept): m3',
        '!         1 candidates that are not in the knowledge base (left out): Q9 of mention m0',
        '!         1 candidates that a list names twice (the first counts): mention m1',
        '!         1 answers that are not in the knowledge base (count as never retrieved): Q9 of mention m3',
        '!         1 mentions outside their sentence (the whole sentence stands in): m3',
        '!         1 mentions whose given offsets hold other words (found anew where possible): m2',
        '!         1 pictures that are not there: gone.png of entity Q3',
        '!         1 pictures that cannot be decoded: bad.jpg of entity Q4 (not an image)',
        '          1 entities without description: Q2',
        '          1 mentions without candidates: m3',
        '          1 mentions that mean no entity (NIL): m1',
        '          1 mentions without an answer (to be linked): m3',
    ]


def test_pictures_need_not_be_opened(folder, monkeypatch):
    monkeypatch.setattr(Picture, 'open', None)
    description = describe(MELFolder(folder), open_pictures=False)
    assert description.pictures == {'mention': 1, 'entity': 4, 'distinct': 4, 'opened': 0}
    assert description.findings.to_dict() == {
        kind: value for kind, value in FINDINGS.items() if not kind.endswith('_picture')}
    assert '4 distinct (not opened)\n' in description.format()


def test_one_split(folder):
    description = describe(MELFolder(folder, 'val'))
    assert (description.num_entities, description.num_mentions, description.recall) == (4, {'val': 1}, {})
    assert description.candidates == {'min': 1, 'median': 1, 'mean': 1, 'max': 1}


def test_the_data_set_is_left_as_it_is(folder):
    dataset = MELFolder(folder)
    before = dataset.findings.to_dict()
    assert describe(dataset).to_dict() == describe(dataset).to_dict()
    assert dataset.findings.to_dict() == before


@pytest.mark.parametrize(('content', 'reason'), [
    (b'', 'empty'), (b'no picture', 'not an image'), (None, 'damaged'),
])
def test_why_a_picture_is_bad(folder, content, reason):
    path = folder / 'images' / 'b.png'
    path.write_bytes(path.read_bytes()[:-30] if content is None else content)
    assert describe(MELFolder(folder)).findings.examples['bad_picture'] == [
        f'b.png of entity Q1 ({reason})', 'bad.jpg of entity Q4 (not an image)']


def test_a_picture_counts_once_however_often_it_is_used(tmp_path):
    write_lines(tmp_path / 'entities.jsonl', *({'id': f'Q{i}', 'name': 'a', 'description': 'b', 'images': ['gone.png']}
                                               for i in range(3)))
    write_lines(tmp_path / 'mentions.jsonl', {'id': 'm', 'sentence': 'a', 'mention': 'a', 'images': ['gone.png'] * 2,
                                              'answer': 'Q1', 'candidates': ['Q1']})
    description = describe(MELFolder(tmp_path))
    assert description.pictures == {'mention': 2, 'entity': 3, 'distinct': 1, 'opened': 1}
    assert description.findings.to_dict() == {'missing_picture': found(1, 'gone.png of entity Q0')}
    assert 'mentions           1 (no split 1)\n' in description.format()
    assert 'recall, no split   100.00%\n' in description.format()


def test_nothing_is_wrong(tmp_path):
    Image.new('RGB', (2, 2)).save(tmp_path / 'a.png')
    write_lines(tmp_path / 'entities.jsonl', {'id': 'Q1', 'name': 'a', 'description': 'b', 'images': ['a.png']})
    write_lines(tmp_path / 'mentions.jsonl', {'id': 'm', 'sentence': 'a', 'mention': 'a', 'images': ['a.png'],
                                              'answer': 'Q1', 'candidates': ['Q1'], 'split': 'test'})
    description = describe(MELFolder(tmp_path))
    assert (description.findings.to_dict(), description.findings.unusable) == ({}, 0)
    assert description.format().split('\n')[3:] == [
        'candidates         1 to 1 a mention, median 1, mean 1.0',
        'recall, test       100.00%',
        'pictures           1 of mentions, 1 of entities, 1 distinct',
        'Nothing is wrong with it.']


def test_empty(tmp_path):
    for name in ('entities.jsonl', 'mentions.jsonl'):
        (tmp_path / name).touch()
    description = describe(MELFolder(tmp_path))
    assert description.to_dict() == {
        'name': f'MELFolder, {tmp_path}', 'entities': 0, 'mentions': {}, 'candidates': {}, 'recall': {},
        'pictures': {'mention': 0, 'entity': 0, 'distinct': 0, 'opened': 0}, 'findings': {}, 'unusable': 0}
    assert description.format().split('\n')[1:] == [
        'entities           0', 'mentions           0', 'pictures           0 of mentions, 0 of entities, 0 distinct',
        'Nothing is wrong with it.']


def test_recall_is_that_of_splits_with_candidates(tmp_path):
    write_wikimel_text(tmp_path)
    description = describe(WikiMELText(tmp_path, hold_out=0.2))
    assert description.num_mentions == {'train': 8, 'val': 2, 'test': 2}
    assert description.recall == {'test': 0.5}


def test_without_candidates_anywhere(tmp_path):
    write_wikimel_text(tmp_path)
    description = describe(WikiMELText(tmp_path, 'train'))
    assert (description.candidates, description.recall) == ({}, {})


def test_several_processes(tmp_path):
    # Of fewer than 257 pictures, other processes would not be worth it.
    write_lines(tmp_path / 'entities.jsonl', *(
        {'id': f'Q{i}', 'name': 'a', 'description': 'b', 'images': [f'{i}.png']} for i in range(260)))
    write_lines(tmp_path / 'mentions.jsonl')
    for i in range(258):
        Image.new('L', (1, 1)).save(tmp_path / f'{i}.png')
    (tmp_path / '7.png').write_bytes(b'?')
    assert describe(MELFolder(tmp_path), workers=2).findings.to_dict() == {
        'missing_picture': found(2, '258.png of entity Q258', '259.png of entity Q259'),
        'bad_picture': found(1, '7.png of entity Q7 (not an image)')}


def test_packaged_data_has_nothing_wrong():
    description = describe(EmojiMEL())
    assert description.num_mentions == {'train': 2487, 'val': 391, 'test': 719}
    assert description.candidates == {'min': 32, 'median': 32, 'mean': 32, 'max': 32}
    assert description.recall == {'train': 1, 'val': 1, 'test': 1}
    assert description.pictures['opened'] == description.pictures['distinct'] > 1799
    assert description.findings.unusable == 0

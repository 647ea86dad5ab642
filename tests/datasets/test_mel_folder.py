import json
import pickle
from dataclasses import replace

import pytest

from drin_pyg.datasets import Entity, EntityLines, MELFolder, Mention, Picture
from tests.datasets.layouts import write_lines, write_own


@pytest.fixture
def folder(tmp_path):
    write_own(tmp_path)
    return tmp_path


@pytest.fixture
def mentions(tmp_path):
    """Reads the mentions of given lines; their knowledge base has Q1 to Q3."""
    write_lines(tmp_path / 'entities.jsonl', *({'id': f'Q{i}', 'name': f'Name {i}'} for i in (1, 2, 3)))

    def read(*records, **options):
        write_lines(tmp_path / 'mentions.jsonl', *records)
        return MELFolder(tmp_path, **options)
    return read


LINE = {'id': 'm0', 'sentence': 'In Paris.', 'mention': 'Paris'}
LINKINGS = {'id': 'd', 'text': 'From Paris to Rome.', 'entities': [
    {'start': 5, 'end': 10, 'label': ['Q1'], 'candidates': ['Q2', 'Q1']},
    {'start': 14, 'end': 18, 'label': ['-1'], 'candidates': []}]}


def test_entities(folder):
    entities = MELFolder(folder).entities
    assert isinstance(entities, EntityLines)
    assert list(entities) == [
        Entity('Q1', 'Paris', 'Capital of France',
               (Picture(folder / 'images/a.png'), Picture(folder / 'images/b.png'))),
        Entity('Q2', 'Paris, Texas'),
        Entity('Q3', 'Zürich', 'City', (Picture(folder / 'images/gone.png'), )),
        Entity('Q4', 'Lake', 'Water', (Picture(folder / 'images/bad.jpg'), )),
    ]
    assert entities[0].pictures[0].open().size == (6, 4)


def test_mentions(folder):
    assert list(MELFolder(folder)) == [
        Mention('m0', 'Paris', 'Paris in Texas', (Picture(folder / 'images/a.png'), ), 'Q2', ('Q1', 'Q2'), 'train',
                (0, 5), ('a tower', 'of steel')),
        Mention('m1', 'Paris', 'In paris.', candidates=('Q1', ), split='val', span=(3, 8), nil=True),
        Mention('m2', 'Zürich', 'Zürich and Zürich', answer='Q3', candidates=('Q1', ), split='train', span=(11, 17)),
        Mention('m3', 'Lake', 'Nobody', answer='Q9', split='test'),
        Mention('m3', 'lake', 'The lake', candidates=('Q4', ), split='test', span=(4, 8)),
    ]


def test_findings(folder):
    findings = MELFolder(folder).findings
    assert findings.examples == {
        'duplicate_entity': ['1 of 5'], 'duplicate_mention': ['m3'], 'unknown_candidate': ['Q9 of mention m0'],
        'repeated_candidate': ['mention m1'], 'unknown_answer': ['Q9 of mention m3'], 'not_in_sentence': ['m3'],
        'wrong_span': ['m2'], 'no_candidates': ['m3'], 'nil': ['m1'], 'unanswered': ['m3']}
    assert set(findings.counts.values()) == {1}
    assert findings.unusable == 7


@pytest.mark.parametrize(('split', 'ids', 'kinds'), [
    ('train', ['m0', 'm2'], ['duplicate_entity', 'unknown_candidate', 'wrong_span']),
    ('val', ['m1'], ['duplicate_entity', 'nil', 'repeated_candidate']),
    ('test', ['m3', 'm3'], ['duplicate_entity', 'duplicate_mention', 'no_candidates', 'not_in_sentence', 'unanswered',
                            'unknown_answer']),
])
def test_a_split_has_its_own_findings_and_the_whole_knowledge_base(folder, split, ids, kinds):
    dataset = MELFolder(folder, split)
    assert [mention.id for mention in dataset] == ids
    assert sorted(dataset.findings.counts) == kinds
    assert len(dataset.entities) == 4


def test_findings_are_counted_once(folder):
    dataset = MELFolder(folder)
    assert dataset.findings.to_dict() == dataset.findings.to_dict()


@pytest.mark.parametrize(('answer', 'expected'), [
    ({}, (None, False)), ({'answer': None}, (None, True)), ({'answer': 'Q1'}, ('Q1', False)),
    ({'answer': 'Q9'}, ('Q9', False)),
])
def test_answer_absent_or_null(mentions, answer, expected):
    mention, = mentions(LINE | answer)
    assert (mention.answer, mention.nil) == expected


@pytest.mark.parametrize(('fields', 'field', 'expected'), [
    ({}, 'pictures', ()), ({}, 'candidates', ()), ({}, 'captions', ()), ({}, 'split', ''), ({}, 'span', (3, 8)),
    ({'images': [], 'candidates': [], 'captions': []}, 'pictures', ()),
    ({'images': None}, 'pictures', ()), ({'candidates': None}, 'candidates', ()), ({'captions': None}, 'captions', ()),
    ({'split': None}, 'split', ''), ({'split': ''}, 'split', ''), ({'split': 'val'}, 'split', 'val'),
    ({'start': None, 'end': None}, 'span', (3, 8)),
    ({'start': 3, 'end': 8}, 'span', (3, 8)),
    ({'start': 0, 'end': 5}, 'span', (3, 8)),
    ({'start': 8, 'end': 3}, 'span', (3, 8)),
    ({'start': -6, 'end': -1}, 'span', (3, 8)),
    ({'start': 3, 'end': 10 ** 30}, 'span', (3, 8)),
    ({'mention': ''}, 'span', None),
    ({'candidates': ['Q3', 'Q9', 'Q1', 'Q3', 'Q8', 'Q1', 'Q3']}, 'candidates', ('Q3', 'Q1')),
    ({'more': 'fields', 'are': 'passed over'}, 'surface', 'Paris'),
    ({'text': 'In Paris.'}, 'surface', 'Paris'),  # no line of entity-linkings, which has 'entities' too
])
def test_fields(mentions, fields, field, expected):
    assert getattr(mentions(LINE | fields)[0], field) == expected


def test_counts_of_candidates(mentions):
    dataset = mentions(LINE | {'candidates': ['Q3', 'Q9', 'Q1', 'Q3', 'Q8', 'Q1', 'Q3']},
                       LINE | {'id': 'm1', 'candidates': ['Q9', 'Q9']})
    assert dataset.findings.counts == {'unknown_candidate': 4, 'repeated_candidate': 3, 'unanswered': 2,
                                       'no_candidates': 1}  # that of m1 are all unknown
    assert dataset.findings.examples['unknown_candidate'] == ['Q9 of mention m0', 'Q9 of mention m1']


def test_pictures_may_lie_outside_the_folder(mentions, tmp_path):
    mention, = mentions(LINE | {'images': ['../a.png', f'{tmp_path}/b.png']})
    assert [picture.path for picture in mention.pictures] == [tmp_path / '../a.png', tmp_path / 'b.png']


BAD_MENTIONS = [
    ({'id': None}, "'id' is missing"),
    ({'id': 7}, "'id' must be a string, got 7"),
    ({'sentence': None}, "'sentence' is missing"),
    ({'sentence': ['In', 'Paris']}, "'sentence' must be a string, got"),
    ({'mention': None}, "'mention' is missing"),
    ({'mention': True}, "'mention' must be a string, got True"),
    ({'start': 3}, "'start' and 'end' go together; one of them is missing"),
    ({'end': 8}, "'start' and 'end' go together; one of them is missing"),
    ({'start': '3', 'end': 8}, "'start' must be a whole number, got '3'"),
    ({'start': 3, 'end': 8.0}, "'end' must be a whole number, got 8.0"),
    ({'start': False, 'end': 8}, "'start' must be a whole number, got False"),
    ({'images': 'a.png'}, "'images' must be a list, got 'a.png'"),
    ({'images': [7]}, "each of 'images' must be a string, got 7"),
    ({'captions': 'a tower'}, "'captions' must be a list, got 'a tower'"),
    ({'captions': [None]}, "each of 'captions' must be a string, got None"),
    ({'answer': 1}, "'answer' must be a string, got 1"),
    ({'answer': ['Q1']}, "'answer' must be a string, got"),
    ({'candidates': 'Q1'}, "'candidates' must be a list, got 'Q1'"),
    ({'candidates': [1]}, "each of 'candidates' must be a string, got 1"),
    ({'candidates': {'Q1': 1}}, "'candidates' must be a list, got"),
    ({'split': 'dev'}, "'split' must be one of train, val, test, got 'dev'"),
    ({'split': 1}, "'split' must be a string, got 1"),
]


@pytest.mark.parametrize(('fields', 'message'), BAD_MENTIONS)
def test_bad_mention_is_named(mentions, fields, message):
    with_split = {'split': 'val'} if 'split' in fields else {}
    dataset = mentions(LINE | with_split, LINE | {'id': 'm1'} | fields)
    with pytest.raises(ValueError, match=f"^'.*mentions.jsonl', line 2: {message}"):
        _ = dataset.mentions


@pytest.mark.parametrize(('fields', 'message'), [
    ({'id': None}, "'id' is missing"),
    ({'id': 7}, "'id' must be a string, got 7"),
    ({'name': None}, "'name' is missing"),
    ({'name': ['a']}, "'name' must be a string"),
    ({'description': 7}, "'description' must be a string, got 7"),
    ({'images': 'a.png'}, "'images' must be a list, got 'a.png'"),
    ({'images': [None]}, "each of 'images' must be a string, got None"),
])
def test_bad_entity_is_named(mentions, tmp_path, fields, message):
    dataset = mentions(LINE)
    write_lines(tmp_path / 'entities.jsonl', {'id': 'Q1', 'name': 'a'}, {'id': 'Q2', 'name': 'b'} | fields)
    with pytest.raises(ValueError, match=f"^'.*entities.jsonl', line 2: {message}"):
        _ = dataset.entities


@pytest.mark.parametrize(('content', 'message'), [
    (b'{"id": "m0"', "Expecting"),
    (b'["m0"]', r"a line must be an object, got \['m0'\]"),
    (b'{"id": "m0", "sentence": "Z\xfcrich", "mention": "a"}', "'utf-8' codec can't decode"),
    (b'7', 'a line must be an object, got 7'),
    (b'[' * 100_000, 'maximum recursion depth'),
])
def test_bad_line_is_named(mentions, tmp_path, content, message):
    dataset = mentions()
    (tmp_path / 'mentions.jsonl').write_bytes(b'\n' + json.dumps(LINE).encode() + b'\r\n  \n' + content)
    with pytest.raises(ValueError, match=f"^'.*mentions.jsonl', line 4: {message}"):
        _ = dataset.mentions


def test_mark_that_some_editors_put_first(mentions, tmp_path):
    dataset = mentions()
    (tmp_path / 'mentions.jsonl').write_bytes(b'\xef\xbb\xbf' + json.dumps(LINE).encode())
    assert dataset[0].sentence == 'In Paris.'


@pytest.mark.parametrize('records', [
    [LINE | {'split': 'train'}, LINE],
    [LINE, LINE | {'split': 'train'}],
    [LINE | {'split': 'train'}, LINKINGS],
    [LINE, LINKINGS | {'split': 'train'}],
])
def test_split_given_for_some_only(mentions, records):
    with pytest.raises(ValueError, match="line 2: some mentions have a 'split' and some have none; give it to all"):
        _ = mentions(*records).mentions


def test_mentions_in_no_split(mentions):
    records = [LINE | {'id': f'{i}', 'split': split} for i, split in enumerate(['train', '', None, 'test'])]
    assert [mention.split for mention in mentions(*records)] == ['train', '', '', 'test']
    assert len(mentions(*records, split='train')) == 1


def test_an_error_anywhere_is_told_in_any_split(mentions):
    dataset = mentions(LINE | {'split': 'train'}, LINE | {'split': 'val', 'answer': 1}, split='train')
    with pytest.raises(ValueError, match='line 2'):
        _ = dataset.mentions


def test_nothing_in_it(mentions, tmp_path):
    (tmp_path / 'entities.jsonl').write_bytes(b'')
    dataset = mentions()
    assert (len(dataset), len(dataset.entities), dataset.findings.counts) == (0, 0, {})


def test_lines_of_entity_linkings(mentions):
    dataset = mentions(LINKINGS, LINE)
    assert list(dataset)[:2] == [
        Mention('d-0', 'Paris', 'From Paris to Rome.', answer='Q1', candidates=('Q2', 'Q1'), span=(5, 10)),
        Mention('d-1', 'Rome', 'From Paris to Rome.', span=(14, 18), nil=True)]
    assert dataset[2].id == 'm0'  # both kinds of lines in one file
    assert dataset.findings.counts == {'nil': 1, 'no_candidates': 2, 'unanswered': 1}


@pytest.mark.parametrize(('label', 'expected', 'counts'), [
    ({'label': ['Q2', 'Q1']}, ('Q2', False), {'several_answers': 1}),
    ({'label': ['-1', 'Q1']}, (None, True), {'several_answers': 1, 'nil': 1}),
    ({'label': ['Q2', '-1']}, ('Q2', False), {'several_answers': 1}),
    ({'label': ['-1']}, (None, True), {'nil': 1}),
    ({'label': []}, (None, False), {'unanswered': 1}),
    ({'label': None}, (None, False), {'unanswered': 1}),
    ({}, (None, False), {'unanswered': 1}),
])
def test_labels_of_entity_linkings(mentions, label, expected, counts):
    dataset = mentions(LINKINGS | {'entities': [{'start': 5, 'end': 10, 'candidates': ['Q1']} | label]})
    assert (dataset[0].answer, dataset[0].nil) == expected
    assert dataset.findings.counts == counts


@pytest.mark.parametrize(('start', 'end', 'surface', 'span', 'kinds'), [
    (14, 19, 'Rome.', (14, 19), set()),
    (14, 99, 'Rome.', (14, 19), {'wrong_span'}),
    (50, 60, '', None, {'wrong_span', 'not_in_sentence'}),
    (10, 5, '', None, {'wrong_span', 'not_in_sentence'}),
    (5, 5, '', None, {'wrong_span', 'not_in_sentence'}),
    (-5, -1, '', None, {'wrong_span', 'not_in_sentence'}),  # not 'Rome' from the end
    (0, -1, '', None, {'wrong_span', 'not_in_sentence'}),
])
def test_offsets_of_entity_linkings(mentions, start, end, surface, span, kinds):
    dataset = mentions(LINKINGS | {'entities': [
        {'start': start, 'end': end, 'label': ['Q1'], 'candidates': ['Q1']}]})
    assert (dataset[0].surface, dataset[0].span, set(dataset.findings.counts)) == (surface, span, kinds)


def test_splits_and_pictures_of_entity_linkings(mentions, tmp_path):
    records = [LINKINGS | {'split': 'train', 'images': ['a.png']},
               LINKINGS | {'split': 'val', 'entities': [{'start': 0, 'end': 4, 'label': ['Q1', 'Q2']}]},
               LINKINGS | {'split': 'val', 'entities': []}]
    dataset = mentions(*records, split='train')
    assert [(mention.split, mention.pictures) for mention in dataset] == [
        ('train', (Picture(tmp_path / 'a.png'), ))] * 2
    assert 'several_answers' not in dataset.findings.counts  # that is the other split's
    assert mentions(*records, split='val').findings.counts['several_answers'] == 1


@pytest.mark.parametrize(('fields', 'message'), [
    ({'id': 1}, "'id' must be a string, got 1"),
    ({'text': 7}, "'text' must be a string, got 7"),
    ({'split': 'dev'}, "'split' must be one of train, val, test, got 'dev'"),
    ({'entities': {}}, "'id' is missing|'mention' is missing"),  # read as a line of the canonical form
    ({'entities': ['Paris']}, "a record must be an object, got 'Paris'"),
    ({'entities': [{'end': 5}]}, "'start' is missing"),
    ({'entities': [{'start': 0}]}, "'end' is missing"),
    ({'entities': [{'start': 0, 'end': '5'}]}, "'end' must be a whole number, got '5'"),
    ({'entities': [{'start': 0, 'end': 5, 'label': 'Q1'}]}, "'label' must be a list, got 'Q1'"),
    ({'entities': [{'start': 0, 'end': 5, 'label': [-1]}]}, "each of 'label' must be a string, got -1"),
    ({'entities': [{'start': 0, 'end': 5, 'candidates': [1]}]}, "each of 'candidates' must be a string, got 1"),
    ({'images': 'a.png'}, "'images' must be a list, got 'a.png'"),
])
def test_bad_line_of_entity_linkings_is_named(mentions, fields, message):
    with pytest.raises(ValueError, match=f"mentions.jsonl', line 1: ({message})"):
        _ = mentions(LINKINGS | fields).mentions


@pytest.mark.parametrize('missing', ['entities.jsonl', 'mentions.jsonl'])
def test_missing_file_is_named(folder, missing):
    (folder / missing).unlink()
    assert not MELFolder.recognises(folder)
    with pytest.raises(FileNotFoundError, match=f"{missing}' is missing; MELFolder needs it"):
        MELFolder(folder)


def test_missing_folder_and_unknown_split(folder):
    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*nowhere'"):
        MELFolder(folder / 'nowhere')
    with pytest.raises(ValueError, match="MELFolder has the splits train, val, test; got 'dev'"):
        MELFolder(folder, 'dev')


def test_transform_is_applied_on_access_and_pre_transform_once(folder):
    seen = []
    dataset = MELFolder(folder, 'train', transform=lambda mention: mention.surface.upper(),
                        pre_transform=lambda mention: seen.append(mention.id) or replace(mention, surface='x'))
    assert [dataset[0], dataset[0], dataset[1]] == ['X', 'X', 'X']
    assert seen == ['m0', 'm2']
    assert dataset.mentions[0].surface == 'x'


def test_parts(folder):
    dataset = MELFolder(folder)
    assert [mention.id for mention in dataset[1:3]] == ['m1', 'm2']
    assert dataset[-1].surface == 'lake'
    with pytest.raises(IndexError):
        dataset[5]


def test_pickling(folder):
    dataset = MELFolder(folder)
    expected = list(dataset), list(dataset.entities), dataset.findings.to_dict()
    copy = pickle.loads(pickle.dumps(dataset))  # with the knowledge base mapped
    assert (list(copy), list(copy.entities), copy.findings.to_dict()) == expected

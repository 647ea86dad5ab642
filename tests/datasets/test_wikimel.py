import os

import pytest

from drin_pyg.datasets.records import Entity
from drin_pyg.datasets.wikimel import WikiMEL
from tests.datasets.layouts import (
    WIKIDATA_MEL,
    draw,
    write_json,
    write_mimic,
    write_richpedia,
    write_wikidiverse,
    write_wikimel,
    write_wikimel_flat,
)


@pytest.fixture
def folder(tmp_path):
    write_wikimel(tmp_path)
    return tmp_path


@pytest.fixture
def mimic(tmp_path):
    write_mimic(tmp_path, 'WIKIMEL')
    return tmp_path


def names(record):
    return [picture.path.name for picture in record.pictures]


def of(dataset, name):
    """The one mention of an id."""
    mention, = (mention for mention in dataset.mentions if mention.id == name)
    return mention


def test_mentions_and_their_splits(folder):
    assert [(mention.id, mention.surface, mention.split) for mention in WikiMEL(folder)] == [
        ('12-0', 'Washington', 'train'), ('12-1', 'Delaware', 'train'), ('13', 'Lincoln', 'val'),
        ('14', 'Washington', 'test'), ('15', 'George W.', ''), ('16', 'Delaware', 'train')]


@pytest.mark.parametrize(('split', 'size'), [('train', 3), ('val', 1), ('test', 1)])
def test_a_split_has_the_whole_knowledge_base(folder, split, size):
    dataset = WikiMEL(folder, split=split)
    assert len(dataset) == size
    assert len(dataset.entities) == 4


def test_without_lists_of_ids_there_are_no_splits(folder):
    for name in ('train.txt', 'dev.json', 'test.json'):
        (folder / name).unlink()
    assert [mention.split for mention in WikiMEL(folder)] == [''] * 6


@pytest.mark.parametrize(('name', 'field', 'expected'), [
    ('12-0', 'sentence', 'Washington crossed the Delaware.'),
    ('12-0', 'answer', 'Q23'),
    ('12-0', 'candidates', ('Q23', 'Q61', 'Q30')),
    ('12-0', 'span', (0, 10)),
    ('12-1', 'answer', 'Q1393'),               # padded, with a newline
    ('12-1', 'candidates', ('Q1393', 'Q23')),  # Q777 is unknown
    ('12-1', 'span', (23, 31)),
    ('13', 'nil', True),
    ('13', 'answer', None),
    ('13', 'candidates', ('Q61', 'Q23')),
    ('14', 'sentence', 'Washington crossed the Delaware.'),  # as 12
    ('14', 'answer', 'Q61'),
    ('14', 'candidates', ('Q61', 'Q23', 'Q1393')),  # its line says 14-0
    ('15', 'span', None),
    ('15', 'answer', 'Q999'),
    ('15', 'candidates', ()),
    ('16', 'span', (0, 8)),  # in capitals
])
def test_fields_of_mentions(folder, name, field, expected):
    assert getattr(of(WikiMEL(folder), name), field) == expected


@pytest.mark.parametrize(('name', 'expected'), [
    ('12-0', ['12.JPG']), ('12-1', ['12.JPG']), ('13', ['13.jpeg']), ('14', ['14.tif']), ('15', ['15.png']), ('16', []),
])
def test_pictures(folder, name, expected):
    mention = of(WikiMEL(folder), name)
    assert names(mention) == expected
    assert all(picture.open().size == (6, 4) for picture in mention.pictures)


def test_knowledge_base(folder):
    entities = WikiMEL(folder).entities
    assert [(entity.id, entity.name, entity.description, names(entity)) for entity in entities] == [
        ('Q23', 'George Washington', 'First president', ['Q23.jpg']),
        ('Q1393', 'Delaware_River', '', []),
        ('Q61', 'Washington', '', []),
        ('Q30', '', 'Country without a name', []),
    ]


def test_findings(folder):
    findings = WikiMEL(folder).findings
    assert findings.counts == {'missing_picture': 1, 'nil': 1, 'unknown_candidate': 1, 'repeated_candidate': 1,
                               'unknown_answer': 1, 'not_in_sentence': 1, 'no_candidates': 2}
    assert findings.examples == {
        'missing_picture': ['16 of mention 16'], 'nil': ['13'], 'unknown_candidate': ['Q777 of mention 12-1'],
        'repeated_candidate': ['mention 13'], 'unknown_answer': ['Q999 of mention 15'], 'not_in_sentence': ['15'],
        'no_candidates': ['15', '16']}


def test_findings_are_those_of_the_split(folder):
    assert WikiMEL(folder, split='test').findings.counts == {}


def test_of_two_padded_qids_the_first_counts(folder):
    write_json(folder / 'qid2ne.json', {'Q23': 'George Washington', 'Q23\n': 'Someone else'})
    dataset = WikiMEL(folder)
    assert dataset.entities[0].name == 'George Washington'
    assert dataset.findings.counts['duplicate_entity'] == 1


def test_without_candidates(folder):
    (folder / 'candidates-answer.tsv').unlink()
    assert {mention.candidates for mention in WikiMEL(folder)} == {()}


def test_a_list_of_records(folder):
    expected = WikiMEL(folder).mentions
    write_json(folder / 'Wikidata-MEL.json', [{**record, 'id': int(name)} for name, record in WIKIDATA_MEL.items()])
    assert WikiMEL(folder).mentions == expected


def test_splits_listed_as_whole_records(folder):
    (folder / 'train.txt').unlink()
    write_json(folder / 'train.json', {'12': WIKIDATA_MEL['12'], '16': WIKIDATA_MEL['16']})
    write_json(folder / 'test.json', [WIKIDATA_MEL['14']])
    assert [mention.split for mention in WikiMEL(folder)] == ['train', 'train', 'val', 'test', '', 'train']


def test_pictures_elsewhere(folder):
    draw(folder / 'photos', '16.jpg', 'Q61.png')
    dataset = WikiMEL(folder, images='photos', entity_images=folder / 'photos')
    assert [names(mention) for mention in dataset] == [[], [], [], [], [], ['16.jpg']]
    assert [names(entity) for entity in dataset.entities] == [[], [], ['Q61.png'], []]
    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*/slides' with pictures"):
        WikiMEL(folder, entity_images='slides')


def test_folders_are_listed_once(folder, monkeypatch):
    listed, listdir = [], os.listdir
    monkeypatch.setattr(os, 'listdir', lambda path: listed.append(path.name) or listdir(path))
    _ = WikiMEL(folder).findings
    assert sorted(listed) == ['images', 'kb_image']


def test_of_two_pictures_with_one_stem_the_first_by_name_counts(folder):
    draw(folder / 'images', '14.webp', '14.gif')
    assert names(of(WikiMEL(folder), '14')) == ['14.gif']


def test_flattened(tmp_path):
    write_wikimel_flat(tmp_path)
    dataset = WikiMEL(tmp_path)
    assert [(m.id, m.surface, m.answer, m.candidates, m.split, names(m)) for m in dataset] == [
        ('12-0', 'Washington', 'Q23', ('Q23', 'Q61', 'Q30'), 'train', ['12.JPG']),
        ('12-1', 'Delaware', 'Q1393', ('Q1393', 'Q23'), 'train', ['12.JPG']),
        ('13', 'Lincoln', None, ('Q61', 'Q23'), 'val', ['13.jpeg']),
        ('14', 'Washington', 'Q61', ('Q61', 'Q23', 'Q1393'), 'test', ['14.tif']),
    ]
    assert [mention.id for mention in WikiMEL(tmp_path, split='val')] == ['13']


def test_flattened_in_one_file(folder):
    write_json(folder / 'Wikidata-MEL.json', {
        f'{name}-{i}': {'sentence': 'Washington', 'mentions': 'Washington', 'answer': 'Q23'}
        for name, i in ((12, 0), (12, 1), (13, 0), (14, 0), (16, 0))})
    # Lists may say 12 or 12-0.
    assert [(mention.id, mention.split) for mention in WikiMEL(folder)] == [
        ('12-0', 'train'), ('12-1', 'train'), ('13-0', 'val'), ('14-0', 'test'), ('16-0', 'train')]


def test_a_mention_without_an_answer_is_to_be_linked(folder):
    write_json(folder / 'Wikidata-MEL.json', {
        name: {'sentence': 'Washington', 'mentions': ['Washington']} for name in ('12', '13', '14', '16')})
    dataset = WikiMEL(folder)
    assert (dataset[0].answer, dataset[0].nil) == (None, False)
    assert dataset.findings.counts['unanswered'] == 4


@pytest.mark.parametrize('missing', ['Wikidata-MEL.json', 'qid2ne.json', 'qid2abs.json'])
def test_missing_file_is_named(folder, missing):
    for name in ('train.txt', 'dev.json', 'test.json', missing):
        (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{missing}' is missing; WikiMEL needs it"):
        WikiMEL(folder)


def test_missing_split_file_is_named(tmp_path):
    write_wikimel_flat(tmp_path)
    (tmp_path / 'valid.json').unlink()
    with pytest.raises(FileNotFoundError, match=r"valid.json' is missing; WikiMEL needs it"):
        WikiMEL(tmp_path)


@pytest.mark.parametrize(('name', 'content', 'message'), [
    ('Wikidata-MEL.json', '{"12": {"sentence"', "'.*Wikidata-MEL.json': Expecting ':' delimiter"),
    ('Wikidata-MEL.json', '7', "'.*Wikidata-MEL.json': an object or a list was expected, got 7"),
    ('Wikidata-MEL.json', '{"12": {"sentence": "a", "mentions": ["a", "b"], "answer": ["Q1"]}}',
     "record '12': 'mentions' and 'answer' go together, but hold 2 and 1"),
    ('Wikidata-MEL.json', '{"12": {"sentence": "a", "mentions": ["a"], "answer": ["Q1"], "entities": []}}',
     "record '12': 'mentions' and 'entities' go together, but hold 1 and 0"),
    ('Wikidata-MEL.json', '{"12": {"mentions": ["a"]}}', "record '12': 'sentence' is missing"),
    ('Wikidata-MEL.json', '{"12": {"sentence": "a"}}', "record '12': 'mentions' is missing"),
    ('Wikidata-MEL.json', '{"12": {"sentence": "a", "mentions": [3]}}', "'12': each of 'mentions' must be a string"),
    ('Wikidata-MEL.json', '[["12"]]', "record '0': a record must be an object"),
    ('qid2ne.json', '{"Q1": ["a"]}', "'.*qid2ne.json': the text of 'Q1' must be a string"),
    ('qid2abs.json', '[]', "'.*qid2abs.json': an object was expected"),
    ('candidates-answer.tsv', '12-0\tQ1\tQ2\n\n12-1\tQ1\n', 'tsv\', line 3: 1 candidates, where the first line has 2'),
    ('candidates-answer.tsv', '12-0\tQ1\n12-0\tQ2\n', "line 2: the id '12-0' had a line before"),
    ('train.txt', '12\n14\n', "'.*test.json': the id '14' is in '.*train.txt' too"),
    ('train.txt', '12\n99\n', "'.*train.txt': the id '99' is that of no record in '.*Wikidata-MEL.json'"),
])
def test_bad_files_are_named(folder, name, content, message):
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        _ = WikiMEL(folder).findings


def test_cleaned_mentions(mimic):
    assert [(m.id, m.surface, m.answer, m.nil, m.candidates, m.split, m.span, names(m)) for m in WikiMEL(mimic)] == [
        ('12-0', 'Washington', 'Q23', False, (), 'train', (0, 10), ['12.jpg']),  # the file says 12.JPG
        ('12-1', 'Delaware', 'Q1393', False, ('Q23', 'Q1393'), 'train', (23, 31), []),
        ('13', 'Lincoln', None, True, ('Q1393', 'Q23'), 'val', None, ['13.jpg']),  # the candidates are numbers
        ('14', 'Washington', 'Q7', False, (), 'test', (0, 10), []),
    ]


def test_cleaned_knowledge_base(mimic):
    entities = WikiMEL(mimic).entities
    assert [names(entity) for entity in entities] == [['Q23_0.jpg', 'Q23_1.JPG'], [], []]
    assert (entities[0].id, entities[0].name, entities[0].description) == ('Q23', 'George Washington', 'Sex: male.')
    assert entities[1:] == [Entity('Q61', 'Washington, D.C.'), Entity('Q1393', 'Río Delaware')]


def test_cleaned_findings(mimic):
    findings = WikiMEL(mimic).findings
    assert {kind: sorted(examples) for kind, examples in findings.examples.items()} == {
        'missing_picture': ['Q1393_0 of entity Q1393', 'gone of mention 14'],
        'unknown_candidate': ['Q5 of mention 12-1'], 'nil': ['13'], 'not_in_sentence': ['13'],
        'unknown_answer': ['Q7 of mention 14'], 'no_candidates': ['12-0', '14']}
    assert WikiMEL(mimic, split='val').findings.examples['missing_picture'] == ['Q1393_0 of entity Q1393']


@pytest.mark.parametrize('missing', ['WIKIMEL_train.json', 'WIKIMEL_dev.json', 'WIKIMEL_test.json', 'kb_entity.json',
                                     'qid2id.json'])
def test_missing_cleaned_file_is_named(mimic, missing):
    (mimic / missing).unlink()
    with pytest.raises(FileNotFoundError, match=f"{missing}' is missing; WikiMEL needs it"):
        WikiMEL(mimic)


@pytest.mark.parametrize(('name', 'content', 'message'), [
    ('WIKIMEL_dev.json', '[{"id": "1", "mentions": "a"}]', "row 0: 'sentence' is missing"),
    ('WIKIMEL_dev.json', '[{"id": "1", "mentions": ["a"], "sentence": "a"}]', "row 0: 'mentions' must be a string"),
    ('WIKIMEL_dev.json', '[{"id": "1", "mentions": "a", "sentence": "a", "cands": "Q1"}]',
     "row 0: 'cands' must be a list, got 'Q1'"),
    ('WIKIMEL_dev.json', '[{"id": "1", "mentions": "a", "sentence": "a", "cands": [9]}]',
     'row 0: candidate number 9 is not in qid2id.json'),
    ('WIKIMEL_dev.json', '[7]', 'row 0: a record must be an object, got 7'),
    ('kb_entity.json', '[{"qid": "Q1", "entity_name": "a", "image_list": "a.jpg"}]',
     "row 0: 'image_list' must be a list"),
    ('kb_entity.json', '[{"entity_name": "a"}]', "row 0: 'qid' is missing"),
    ('qid2id.json', '{"Q1": 0', 'Expecting'),
])
def test_bad_cleaned_files_are_named(mimic, name, content, message):
    (mimic / name).write_text(content)
    with pytest.raises(ValueError, match=f"{name}'[,:] {message}"):
        _ = WikiMEL(mimic).findings


@pytest.mark.parametrize(('write', 'expected'), [
    (write_wikimel, True),
    (write_wikimel_flat, True),
    (lambda folder: write_mimic(folder, 'WIKIMEL'), True),
    (lambda folder: write_mimic(folder, 'RichpediaMEL'), False),
    (write_richpedia, False),
    (write_wikidiverse, False),
])
def test_recognises_its_layouts(tmp_path, write, expected):
    write(tmp_path)
    assert WikiMEL.recognises(tmp_path) is expected


def test_transform(folder):
    assert WikiMEL(folder, split='train', transform=lambda mention: mention.id)[1] == '12-1'
    assert WikiMEL(folder, pre_transform=lambda mention: mention.id).mentions[2] == '13'

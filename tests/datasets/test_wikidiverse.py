import json

import pytest

from drin_pyg.datasets.records import Entity
from drin_pyg.datasets.wikidiverse import WikiDiverse
from tests.datasets.layouts import GONE, LOST, MD5, draw, write_json, write_mimic, write_wikidiverse, write_wikimel


@pytest.fixture
def folder(tmp_path):
    write_wikidiverse(tmp_path)
    return tmp_path


def names(record):
    return [picture.path.name for picture in record.pictures]


def of(dataset, name):
    """The one mention, or entity, of an id."""
    record, = (record for record in (*dataset.mentions, *dataset.entities) if record.id == name)
    return record


def test_mentions_and_their_splits(folder):
    assert [(mention.id, mention.split) for mention in WikiDiverse(folder)] == [
        ('train-0', 'train'), ('train-1', 'train'), ('train-2', 'train'), ('train-3', 'train'),
        ('valid-0-0', 'val'), ('valid-0-1', 'val'), ('test-0', 'test')]


@pytest.mark.parametrize(('split', 'size'), [('train', 4), ('val', 2), ('test', 1)])
def test_a_split_has_the_whole_knowledge_base(folder, split, size):
    dataset = WikiDiverse(folder, split=split)
    assert len(dataset) == size
    assert list(dataset.entities) == list(WikiDiverse(folder).entities)


@pytest.mark.parametrize(('name', 'field', 'expected'), [
    ('train-0', 'sentence', 'Jordan joined the Bulls in 1984.'),
    ('train-0', 'surface', 'Jordan'),
    ('train-0', 'answer', 'Michael Jordan'),
    ('train-0', 'candidates', ('Jordan', 'Michael Jordan', 'Jordan (München)')),  # three bad schemes
    ('train-0', 'span', (0, 6)),
    ('train-0', 'nil', False),
    ('train-1', 'nil', True),
    ('train-1', 'answer', None),
    ('train-1', 'candidates', ()),
    ('train-2', 'answer', 'Café (song)'),
    ('train-2', 'candidates', ('AC/DC', 'Café 0', 'Café 1', 'Café 2', 'Café 3', 'Café 4', 'Café 5', 'Café 6', 'Café 7',
                               'Café 8')),
    ('train-2', 'span', (32, 36)),  # the nearest to offsets that are off by one
    ('train-3', 'span', None),
    ('train-3', 'candidates', ('Red Stars', )),
    ('valid-0-0', 'answer', 'Michael Jordan'),
    ('valid-0-0', 'candidates', ()),
    ('valid-0-1', 'sentence', 'Jordan met the king of Jordan.'),
    ('valid-0-1', 'span', (23, 29)),
    ('valid-0-1', 'nil', True),
    ('test-0', 'candidates', ('Chicago Bulls', )),
])
def test_fields_of_mentions(folder, name, field, expected):
    assert getattr(of(WikiDiverse(folder), name), field) == expected


@pytest.mark.parametrize(('name', 'parts'), [
    ('train-0', ['Michael%20J%C3%B6rdan.JPG']),  # not decoded
    ('train-1', ['Flag_of_Nowhere.svg']),
    ('train-2', []),
    ('train-3', []),
    ('valid-0-0', ['220px-Stade.jpeg']),
    ('valid-0-1', ['220px-Stade.jpeg']),
    ('test-0', ['Map.tif']),
    ('Michael Jordan', ['Michael_Jordan_2014.jpg', 'Jordan%2C_MJ.svg']),
    ('Jordan', []),
    ('Café (song)', []),
    ('AC/DC', ['Acdc.png']),
])
def test_pictures(folder, name, parts):
    record = of(WikiDiverse(folder), name)
    assert names(record) == [MD5[part] for part in parts]
    assert all(picture.open().size == (6, 4) for picture in record.pictures)


def test_knowledge_base(folder):
    assert [(entity.id, entity.name, entity.description) for entity in WikiDiverse(folder).entities] == [
        ('Michael Jordan', 'Michael Jordan', 'American basketball player'),
        ('Jordan', 'Jordan', 'Jordan is a country.'),  # its brief description is empty
        ('Chicago Bulls', 'Chicago Bulls', ''),
        ('Café (song)', 'Café (song)', 'Café is a song.'),
        ('Unasked', 'Unasked', 'Nobody asks for it.'),
        ('AC/DC', 'AC/DC', ''),
        ('Jordan (München)', 'Jordan (München)', ''),
        *((f'Café {i}', f'Café {i}', '') for i in range(9)),
        ('Red Stars', 'Red Stars', ''),
    ]


@pytest.mark.parametrize(('descriptions', 'missing', 'expected'), [
    (('desc', 'brief'), None, 'Michael Jordan (born 1963) played.'),
    (('desc', ), 'entity2brief_*.json', 'Michael Jordan (born 1963) played.'),
    (('brief', ), 'wikipedia_entity2desc_filtered.tsv', 'American basketball player'),
])
def test_choice_of_descriptions(folder, descriptions, missing, expected):
    for path in folder.glob(missing or 'nothing'):
        path.unlink()
    assert of(WikiDiverse(folder, descriptions=descriptions), 'Michael Jordan').description == expected


def test_unknown_choice_of_descriptions(folder):
    with pytest.raises(ValueError, match=r"'descriptions' are of 'brief' and 'desc'; got \('abstract',\)"):
        WikiDiverse(folder, descriptions=('abstract', ))


def test_findings(folder):
    findings = WikiDiverse(folder).findings
    assert findings.counts == {'missing_picture': 2, 'nil': 2, 'unknown_candidate': 1, 'repeated_candidate': 1,
                               'wrong_span': 2, 'not_in_sentence': 1, 'no_candidates': 3}
    assert sorted(findings.examples['missing_picture']) == [
        f'{LOST} of entity Café (song)', f'{GONE} of mention train-3']
    assert findings.examples['not_in_sentence'] == ['train-3']
    assert findings.examples['wrong_span'] == ['train-2', 'train-3']
    assert findings.examples['unknown_candidate'] == ['nil of mention train-3']


def test_findings_are_those_of_the_split(folder):
    assert WikiDiverse(folder, split='test').findings.counts == {'missing_picture': 1}  # an entity's


def test_a_folder_of_pictures_of_ones_own(folder):
    (folder / 'wikiImgs').rename(folder / 'photos')
    assert names(of(WikiDiverse(folder), 'test-0')) == []
    dataset = WikiDiverse(folder, images='photos')
    assert names(of(dataset, 'test-0')) == [MD5['Map.tif']]
    assert names(of(dataset, 'AC/DC')) == [MD5['Acdc.png']]
    assert names(of(WikiDiverse(folder, entity_images=folder / 'photos'), 'AC/DC')) == [MD5['Acdc.png']]
    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*/slides' with pictures"):
        WikiDiverse(folder, images='slides')


def test_files_without_candidates_in_their_names(folder):
    for word in ('train', 'valid', 'test'):
        (folder / f'{word}_w_10cands.json').rename(folder / f'{word}.json')
    assert WikiDiverse.recognises(folder)
    assert len(WikiDiverse(folder)) == 7


@pytest.mark.parametrize('missing', ['train_w_10cands.json', 'valid_w_10cands.json', 'test_w_10cands.json',
                                     'wikipedia_entity2desc_filtered.tsv', 'wikipedia_entity2imgs.tsv'])
def test_missing_file_is_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(FileNotFoundError, match=f"{missing}' is missing; WikiDiverse needs it"):
        WikiDiverse(folder)


ROW = ['The sentence.', '', 'sentence', 'MISC', [], [], 'nil', [], 'topic', 4, 12]


@pytest.mark.parametrize(('content', 'message'), [
    ([ROW, ROW[:10]], 'row 1: 10 items instead of the 11 of a mention or the 4 of a passage'),
    ([{'sentence': 'The sentence.'}], r"row 0: \{'sentence'.* instead of the 11"),
    ([['The sentence.', '', 'topic', [['sentence', 'MISC', 4, 12]]]], r'row 0: a mention of a passage is \[.* 5 items'),
    ([[7, *ROW[1:]]], 'row 0: the sentence must be a string, got 7'),
    ([['The sentence.', None, *ROW[2:]]], 'row 0: the image URL must be a string, got None'),
    ([[*ROW[:6], None, *ROW[7:]]], 'row 0: the entity URL must be a string, got None'),
    ([[*ROW[:7], 'Q1', *ROW[8:]]], "row 0: the candidates must be a list, got 'Q1'"),
    ([[*ROW[:7], [1], *ROW[8:]]], 'row 0: each of the candidates must be a string, got 1'),
    ([[*ROW[:9], '4', 12]], "row 0: the start must be a whole number, got '4'"),
    ({'sentence': 'The sentence.'}, r"a list was expected, got \{'sentence'"),
])
def test_bad_rows_are_named(folder, content, message):
    write_json(folder / 'test_w_10cands.json', content)
    with pytest.raises(ValueError, match=rf"test_w_10cands.json'[,:] {message}"):
        _ = WikiDiverse(folder, split='test').mentions


@pytest.mark.parametrize(('name', 'content', 'message'), [
    ('test_w_10cands.json', '[["The sen', 'Unterminated string starting at'),
    ('entity2brief_valid.json', '{"Jordan": 7}', "the description of 'Jordan' must be a string, got 7"),
    ('wikipedia_entity2imgs.tsv', 'entity@@@@images\nJordan\n', 'line 2: 1 items instead of 2'),
    ('wikipedia_entity2desc_filtered.tsv', 'entity@@@@text\n\nJordan@@@@a@@@@b\n', 'line 3: 3 items instead of 2'),
])
def test_bad_files_are_named(folder, name, content, message):
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=f"{name}'[,:] {message}"):
        _ = WikiDiverse(folder).findings


def test_bytes_that_are_no_text_are_named(folder):
    (folder / 'wikipedia_entity2desc_filtered.tsv').write_bytes(b'entity@@@@text\nCaf\xe9@@@@song\n')
    with pytest.raises(ValueError, match=r"desc_filtered.tsv': 'utf-8' codec can't decode"):
        _ = WikiDiverse(folder).entities


def test_a_title_that_is_no_utf8_stays_as_it_is_written(folder):
    write_json(folder / 'entity2brief_valid.json', {'Caf%E9_noir': 'A drink'})
    assert of(WikiDiverse(folder), 'Caf%E9 noir').description == 'A drink'


def test_carriage_return_in_a_description_ends_no_line(folder):
    path = folder / 'wikipedia_entity2desc_filtered.tsv'
    path.write_bytes(b'entity@@@@text\r\nUnasked@@@@One\rtwo\r\n')
    assert of(WikiDiverse(folder), 'Unasked').description == 'One\rtwo'


@pytest.mark.parametrize('mention_images', ['mention_image', 'mention_images'])
def test_cleaned_layout(tmp_path, mention_images):
    write_mimic(tmp_path, 'wiki_diverse', mention_images)
    dataset = WikiDiverse(tmp_path)
    assert [(mention.id, mention.split, mention.answer, names(mention)) for mention in dataset] == [
        ('12-0', 'train', 'Q23', ['12.jpg']), ('12-1', 'train', 'Q1393', []), ('13', 'val', None, ['13.jpg']),
        ('14', 'test', 'Q7', [])]
    assert [names(entity) for entity in dataset.entities] == [['Q23_0.jpg', 'Q23_1.JPG'], [], []]
    assert dataset.entities[1] == Entity('Q61', 'Washington, D.C.')


def test_cleaned_layout_with_pictures_elsewhere(tmp_path):
    data, elsewhere = tmp_path / 'data', tmp_path / 'elsewhere'
    data.mkdir()
    write_mimic(data, 'wiki_diverse')
    draw(elsewhere, '14.png', 'gone.webp')
    dataset = WikiDiverse(data, split='test', images=elsewhere)
    assert names(dataset[0]) == ['gone.webp']
    assert names(dataset.entities[0]) == ['Q23_0.jpg', 'Q23_1.JPG']


@pytest.mark.parametrize(('write', 'expected'), [
    (write_wikidiverse, True),
    (lambda folder: write_mimic(folder, 'wiki_diverse'), True),
    (lambda folder: write_mimic(folder, 'WIKIMEL'), False),
    (write_wikimel, False),
    (lambda folder: None, False),
])
def test_recognises_its_layouts(tmp_path, write, expected):
    write(tmp_path)
    assert WikiDiverse.recognises(tmp_path) is expected


def test_recognises_no_folder_that_is_not_there(tmp_path):
    assert not WikiDiverse.recognises(tmp_path / 'nowhere')


def test_is_a_pyg_dataset(folder):
    dataset = WikiDiverse(folder, transform=lambda mention: json.dumps(mention.surface))
    assert dataset[4] == '"Jordan"'
    assert len(dataset[2:4]) == 2

import pytest

from drin_pyg.datasets.richpedia_mel import RichpediaMEL
from tests.datasets.layouts import write_json, write_mimic, write_richpedia, write_wikimel, write_wikimel_flat


@pytest.fixture
def folder(tmp_path):
    write_richpedia(tmp_path)
    return tmp_path


def names(record):
    return [picture.path.name for picture in record.pictures]


def test_mentions(folder):
    assert [(m.id, m.surface, m.answer, m.nil, m.candidates, m.split, names(m)) for m in RichpediaMEL(folder)] == [
        ('Q23', 'Washington', 'Q23', False, (), '', ['Q23.png']),  # its id is the answer
        ('13', 'Lincoln', None, True, ('Q61', 'Q23'), '', ['13.jpeg']),
        ('14', 'Washington', 'Q61', False, ('Q61', 'Q23', 'Q1393'), '', ['14.tif']),
    ]


def test_pictures_of_a_mention_and_of_its_answer_are_not_mixed_up(folder):
    dataset = RichpediaMEL(folder)
    assert names(dataset[0]) == ['Q23.png']
    assert names(dataset.entities[0]) == ['Q23.jpg']


def test_findings(folder):
    assert RichpediaMEL(folder).findings.counts == {'nil': 1, 'repeated_candidate': 1, 'no_candidates': 1}


def test_splits(folder):
    write_json(folder / 'train.json', ['Q23'])
    write_json(folder / 'val.json', ['13'])
    (folder / 'test.txt').write_text('14\n')
    assert [mention.split for mention in RichpediaMEL(folder)] == ['train', 'val', 'test']
    assert [mention.id for mention in RichpediaMEL(folder, split='test')] == ['14']


def test_lists_and_strings_do_not_go_together(folder):
    write_json(folder / 'Richpedia-MEL.json', {'1': {'sentence': 'a', 'mentions': 'a', 'answer': ['Q1', 'Q2']}})
    with pytest.raises(ValueError, match=r"Richpedia-MEL.json', record '1': 'mentions' and 'answer' .* 1 and 2"):
        _ = RichpediaMEL(folder).mentions


def test_missing_file_is_named(folder):
    (folder / 'Richpedia-MEL.json').unlink()
    with pytest.raises(FileNotFoundError, match=r"Richpedia-MEL.json' is missing; RichpediaMEL needs it"):
        RichpediaMEL(folder)


def test_cleaned_layout(tmp_path):
    write_mimic(tmp_path, 'RichpediaMEL', 'mention_images')
    dataset = RichpediaMEL(tmp_path)
    assert [(mention.id, mention.split, mention.answer, names(mention)) for mention in dataset] == [
        ('12-0', 'train', 'Q23', ['12.jpg']), ('12-1', 'train', 'Q1393', []), ('13', 'val', None, ['13.jpg']),
        ('14', 'test', 'Q7', [])]
    assert [entity.name for entity in dataset.entities] == ['George Washington', 'Washington, D.C.', 'Río Delaware']


@pytest.mark.parametrize(('write', 'expected'), [
    (write_richpedia, True),
    (lambda folder: write_mimic(folder, 'RichpediaMEL'), True),
    (lambda folder: write_mimic(folder, 'WIKIMEL'), False),
    (write_wikimel, False),
    (write_wikimel_flat, False),
])
def test_recognises_its_layouts(tmp_path, write, expected):
    write(tmp_path)
    assert RichpediaMEL.recognises(tmp_path) is expected

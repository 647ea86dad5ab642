"""Records of any JSON: read as they are, or refused by file and line; and spans of any text."""

import json

from hypothesis import given
from hypothesis import strategies as st

from drin_pyg.datasets import MELFolder, PictureError, convert, find_span
from tests.strategies import json_values

text = st.text(max_size=12)
ENTITY = {'id': 'Q1', 'name': 'Paris', 'description': 'a city', 'images': ['a.png']}
MENTION = {'id': 'm', 'sentence': 'In Paris.', 'mention': 'Paris', 'start': 3, 'end': 8, 'images': [],
           'captions': ['x'], 'answer': 'Q1', 'candidates': ['Q1'], 'split': 'train'}


@st.composite
def damaged(draw, record):
    """A record in which some fields are something else, or gone."""
    record = dict(record)
    for name in draw(st.lists(st.sampled_from([*record, 'text', 'entities']), max_size=2)):
        if draw(st.booleans()):
            record[name] = draw(json_values)
        else:
            record.pop(name, None)
    return record


def write(folder, entities, mentions):
    folder.mkdir(exist_ok=True)
    for name, records in (('entities', entities), ('mentions', mentions)):
        lines = ''.join(json.dumps(record) + '\n' for record in records)
        (folder / f'{name}.jsonl').write_text(lines, encoding='utf-8')
    return MELFolder(folder)


@given(st.lists(damaged(ENTITY), max_size=3), st.lists(damaged(MENTION), max_size=3))
def test_any_records_are_read_or_refused(tmp_path_factory, entities, mentions):
    folder = tmp_path_factory.mktemp('own')
    dataset = write(folder, entities, mentions)
    try:
        found = list(dataset.mentions), list(dataset.entities)
    except ValueError as error:
        assert str(folder) in str(error)
        assert 'line ' in str(error)
        assert len(str(error)) < 2000
        return
    for mention in found[0]:
        assert mention.span is None or mention.sentence[slice(*mention.span)].lower() == mention.surface.lower()
        assert set(mention.candidates) <= {entity.id for entity in found[1]}
        for picture in mention.pictures:
            try:
                picture.open()
            except PictureError as error:
                assert error.reason in ('missing', 'unreadable', 'not an image')
    dataset.findings.format()


@given(st.lists(st.tuples(text, text), max_size=4), st.lists(st.tuples(text, text), max_size=4))
def test_what_is_converted_reads_the_same(tmp_path_factory, entities, mentions):
    folder = tmp_path_factory.mktemp('converted')
    dataset = write(folder / 'own', [{'id': str(i), 'name': name, 'description': words}
                                     for i, (name, words) in enumerate(entities)],
                    [{'id': str(i), 'sentence': sentence, 'mention': surface, 'candidates': ['0']}
                     for i, (surface, sentence) in enumerate(mentions)])
    convert(dataset, folder / 'out')
    again = MELFolder(folder / 'out')
    assert list(again.entities) == list(dataset.entities)
    assert again.mentions == dataset.mentions


@given(text, text, text, st.none() | st.integers(-20, 40), st.none() | st.integers(-20, 40))
def test_a_span_holds_the_mention(before, surface, after, start, end):
    sentence = before + surface + after
    span = find_span(sentence, surface, start, end)
    if not surface:
        assert span is None
        return
    assert 0 <= span[0] < span[1] <= len(sentence)
    assert sentence[span[0]:span[1]] == surface

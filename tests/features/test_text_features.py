from dataclasses import replace

import pytest
import torch

from drin_pyg.datasets import Entity, MELFolder, write_mel_folder
from drin_pyg.features import Encoding, TextEncoder, encode, encode_folder, load_tables, make_preset
from drin_pyg.features.text import _description
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE, MENTION_TEXT, TEXT_TEXT


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Namesakes that the sentence or a year tells apart."""
    from drin_pyg.datasets import Entity, Mention

    entities, mentions = [], []
    for i, name in enumerate(['Smith', 'Jones', 'Brown', 'Green', 'Young', 'Clark', 'Hall', 'King']):
        entities += [Entity(f'{i}a', f'John {name}', f'American painter, born {1800 + i}, died {1860 + i}'),
                     Entity(f'{i}b', f'Mary {name}', 'a river in Canada')]
        for j, (text, answer) in enumerate([(f'John {name} in 1840', 'a'), (f'a painting by {name}', 'a'),
                                            (f'on the banks of the {name}', 'b')]):
            mentions.append(Mention(f'{i}-{j}', name, text, (), f'{i}{answer}', (f'{i}b', f'{i}a', f'{(i + 1) % 8}a'),
                                    'train' if i < 6 else 'test', captions=('a man with a hat', ) * (i % 3)))
    folder = tmp_path_factory.mktemp('text') / 'data'
    write_mel_folder(entities, mentions, folder)
    return folder


@pytest.fixture(scope='module')
def data(folder):
    return {images: encode(MELFolder(folder), make_preset('text', images=images))
            for images in ('names', 'captions', 'absent')}


def minilm(texts):
    return TextEncoder.minilm()(texts)['mean']


@pytest.mark.parametrize('images', ['names', 'captions', 'absent'])
def test_vertices_are_what_was_chosen(data, images):
    x, ptr = data[images].tables.x, data[images].tables.ptr
    mentions, entities = data[images].mentions, data[images].entities
    torch.testing.assert_close(x[MENTION_TEXT], minilm([m.sentence for m in mentions]), rtol=0, atol=1e-5)
    texts = [e.description.removeprefix(f'Name: {e.name}. ') if images == 'names' else f'{e.name}. {e.description}'
             for e in entities]
    torch.testing.assert_close(x[ENTITY_TEXT], minilm(texts), rtol=0, atol=1e-5)
    words = {'names': [[m.surface] for m in mentions], 'captions': [m.captions for m in mentions],
             'absent': [()] * len(mentions)}[images]
    names = [[e.name] if images == 'names' else [] for e in entities]
    for node_type, own in ((MENTION_IMAGE, words), (ENTITY_IMAGE, names)):
        assert ptr[node_type].diff().tolist() == [len(texts) for texts in own]
        torch.testing.assert_close(x[node_type], minilm([text for texts in own for text in texts]), rtol=0, atol=1e-5)


@pytest.mark.parametrize('images', ['names', 'captions', 'absent'])
def test_learned_weights_find_the_answer(data, images):
    loaded = data[images]
    assert set(loaded.candidates.weight) == (set(EDGE_TYPES) if images == 'names' else {TEXT_TEXT})
    total = sum(loaded.candidates.weight.values())
    best = torch.stack([total[loaded.candidates.ptr[i]:loaded.candidates.ptr[i + 1]].argmax() for i in range(24)])
    right = loaded.candidates.entity[loaded.candidates.ptr[:-1] + best] == loaded.candidates.gold
    assert right.double().mean() > 0.9


def test_cosines_instead(folder):
    loaded = encode(MELFolder(folder), make_preset('text', weights='cosine'))
    assert loaded.candidates.weight == {}
    for edge_type in EDGE_TYPES:
        mention, entity = loaded.tables.weight[edge_type]
        assert mention.equal(loaded.tables.x[edge_type[0]])
        assert entity.equal(loaded.tables.x[edge_type[2]])


def test_test_answers_are_not_used(folder, data):
    dataset = MELFolder(folder)
    other = [replace(m, answer=m.candidates[2]) if m.split == 'test' else m for m in dataset.mentions]
    dataset.__dict__['mentions'] = other
    again = encode(dataset, make_preset('text'))
    for edge_type, weight in data['names'].candidates.weight.items():
        assert again.candidates.weight[edge_type].equal(weight)


def test_new_mention_gets_the_weights_it_had(folder, tmp_path):
    encode_folder(folder, tmp_path / 'out', 'text')
    loaded = load_tables(tmp_path / 'out', Encoding())
    some = torch.tensor([3, 20])
    records = [loaded.mentions[i] for i in some.tolist()]
    tables, lists = loaded.tables_of(records), loaded.candidates.select(some)
    again = loaded.weigh(tables, replace(lists, weight={}), records)
    for edge_type, weight in lists.weight.items():
        torch.testing.assert_close(again.weight[edge_type], weight, rtol=0, atol=1e-5)


@pytest.mark.parametrize('options', [{'images': 'pictures'}, {'weights': 'none'}])
def test_nonsense_is_named(options):
    with pytest.raises(ValueError, match='must be'):
        make_preset('text', **options)


@pytest.mark.parametrize(('name', 'description', 'expected'), [
    ('Ada', 'Name: Ada. Sex: female.', 'Sex: female.'), ('Ada', 'Ada, a writer', 'a writer'),
    ('Ada', 'a writer', 'a writer'),    ('Ada', '', 'Ada'), ('Ada', 'Name: Ada.', 'Ada')])
def test_a_description_without_its_name(name, description, expected):
    assert _description(Entity('1', name, description)) == expected

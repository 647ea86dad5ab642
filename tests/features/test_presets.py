"""Presets with the real loading code and small models: every first weight against its definition."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from drin_pyg.datasets import Entity, EntityList, Mention, Picture
from drin_pyg.features import ClipModel, Encoding, TextEncoder, make_preset, pair_tables
from drin_pyg.features import first_weights as fw
from drin_pyg.features.backbones import load_backbone
from drin_pyg.features.object_encoder import ObjectEncoder
from drin_pyg.vocabulary import (
    EDGE_TYPES,
    ENTITY_IMAGE,
    ENTITY_TEXT,
    IMAGE_IMAGE,
    IMAGE_TEXT,
    MENTION_IMAGE,
    MENTION_TEXT,
    TEXT_IMAGE,
    TEXT_TEXT,
)
from tests.features.test_picture_encoders import Boxes
from tests.features.tiny_models import save_bert, save_clip, save_pictures, save_resnet


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    save_bert(folder / 'bert')
    save_resnet(folder / 'resnet')
    save_clip(folder / 'clip')
    return folder


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pictures')
    pictures = [Picture(path) for path in save_pictures(folder, 4)]
    (folder / 'bad.png').write_bytes(b'bad')
    entities = EntityList([
        Entity('c', 'cat', 'the cat sat', (pictures[0], )),
        Entity('d', 'dog', 'a red dog', (pictures[1], pictures[2])),
        Entity('m', 'mat', ''),
        Entity('r', 'red', 'the red', (Picture(folder / 'bad.png'), pictures[3])),
    ])
    mentions = [
        Mention('1', 'dog', 'the dog sat on a mat', (pictures[2], ), 'd', ('c', 'd'), 'train', (4, 7)),
        Mention('2', 'cat', 'a dog is on the mat', (), 'c', ('c', 'm', 'r'), 'val'),
        Mention('3', 'mat', 'the mat', (pictures[0], pictures[3]), 'm', ('m', ), 'test', (4, 7)),
    ]
    return mentions, entities


@pytest.fixture(params=['memory', 'disk'])
def how(request, tmp_path):
    return Encoding(tmp_path / 'work' if request.param == 'disk' else None)


def options(name, models):
    clip = {'clip': f'local-dir:{models}/clip'}
    if name == 'clip':
        return clip
    return {**clip, 'text': str(models / 'bert'), 'image': f'transformers:{models}/resnet'}


def make(name, models, data, how, **more):
    preset = make_preset(name, how, **options(name, models), **more)
    if name == 'paper':
        preset.__dict__['_detector'] = Boxes()  # finds what it is told; the real one has tests of its own
    mentions, entities = data
    out = how.store
    entity = preset.entities(entities, out and out / 'entity')
    return pair_tables(preset.mentions(mentions, out and out / 'mention'), entity), preset


def weights(tables, edge_type):
    mention, entity = tables.weight[edge_type]
    return mention @ entity.t()


def cosine(a, b):
    return torch.stack([torch.stack([torch.dot(x, y) / (x.norm() * y.norm()) for y in b]) for x in a])


def close(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


PTR = {MENTION_IMAGE: [0, 1, 1, 3], ENTITY_IMAGE: [0, 1, 3, 3, 4]}  # the bad picture is no row


def images(data):
    """Usable pictures of the mentions and of the entities, in the order of their rows."""
    return [[picture for record in side for picture in record.pictures if picture.path.name != 'bad.png']
            for side in data]


@torch.no_grad()
@pytest.mark.parametrize('pooling', ['pooler', 'tokens'])
def test_paper_preset_is_what_the_paper_defines(models, data, how, pooling):
    mentions, _ = data
    tables, preset = make('paper', models, data, how, pooling=pooling)
    assert {name: tables.ptr[name].tolist() for name in PTR} == PTR
    bert = TextEncoder(models / 'bert', ('span', 'tokens', 'cls', 'pooler'))
    texts = ['cat. the cat sat', 'dog. a red dog', 'mat. ', 'red. the red']
    entity = bert(texts)
    close(tables.x[MENTION_TEXT], bert([m.sentence for m in mentions], [m.span for m in mentions])['span'])
    close(tables.x[ENTITY_TEXT], entity[pooling])
    close(weights(tables, TEXT_TEXT),
          cosine(tables.x[MENTION_TEXT], entity['pooler' if pooling == 'pooler' else 'cls']))

    backbone = load_backbone(f'transformers:{models}/resnet')
    of_mentions, of_entities = images(data)
    for node_type, pictures in ((MENTION_IMAGE, of_mentions), (ENTITY_IMAGE, of_entities)):
        close(tables.x[node_type], torch.cat([backbone.encode([backbone.prepare(p)])['pooled'] for p in pictures]))

    clip = ClipModel(f'local-dir:{models}/clip')
    see, read = clip.picture_encoder(), clip.text_encoder()
    sentence, text = read.encode([m.sentence for m in mentions])['pooled'], read.encode(texts)['pooled']
    seen = [torch.cat([see.encode([see.prepare(p)])['pooled'] for p in side]) for side in (of_mentions, of_entities)]
    close(weights(tables, TEXT_IMAGE), cosine(sentence, seen[1]))
    close(weights(tables, IMAGE_TEXT), cosine(seen[0], text))

    sides = []
    for side, count in ((of_mentions, 3), (of_entities, 1)):
        encoder = ObjectEncoder(Boxes(), backbone, count)
        sides.append(encoder.detect([encoder.prepare(picture) for picture in side]))
    (objects, scores), (entity_objects, entity_scores) = sides
    for i in range(len(of_mentions)):
        for j in range(len(of_entities)):
            expected = fw.object_similarity(objects[i:i + 1], scores[i:i + 1], entity_objects[j:j + 1],
                                            entity_scores[j:j + 1])
            close(weights(tables, IMAGE_IMAGE)[i, j], expected[0])
    assert set(preset.unusable.values()) == {'not an image'}


@torch.no_grad()
def test_mention_outside_its_sentence(models, data):
    # The second mention, "cat", does not occur in "a dog is on the mat".
    bert = TextEncoder(models / 'bert', ('tokens', ))
    for outside, text in (('sentence', 'a dog is on the mat'), ('words', 'cat')):
        tables, _ = make('paper', models, data, Encoding(), outside=outside)
        close(tables.x[MENTION_TEXT][1], bert([text])['tokens'][0])


@torch.no_grad()
def test_clip_preset_is_cosines_of_one_model(models, data, how):
    mentions, entities = data
    tables, _ = make('clip', models, data, how)
    assert {name: tables.ptr[name].tolist() for name in PTR} == PTR
    clip = ClipModel(f'local-dir:{models}/clip')
    read = clip.text_encoder()
    close(tables.x[MENTION_TEXT], read.encode([m.sentence for m in mentions])['pooled'])
    close(tables.x[ENTITY_TEXT], read.encode([f'{e.name}. {e.description}' for e in entities])['pooled'])
    for edge_type in EDGE_TYPES:
        close(weights(tables, edge_type), cosine(tables.x[edge_type[0]], tables.x[edge_type[2]]))


@pytest.mark.parametrize('name', ['paper', 'clip'])
def test_disk_and_memory_agree(models, data, tmp_path, name):
    one, two = (make(name, models, data, Encoding(store))[0] for store in (None, tmp_path / 'work'))
    for node_type, x in one.x.items():
        assert x.equal(two.x[node_type])
    for edge_type in EDGE_TYPES:
        assert all(a.equal(b) for a, b in zip(one.weight[edge_type], two.weight[edge_type], strict=True))


def test_nobody_has_a_picture(models, data, how):
    mentions, entities = data
    bare = [[replace(record, pictures=()) for record in side] for side in (mentions, entities)]
    tables, _ = make('paper', models, (bare[0], EntityList(bare[1])), how)
    assert tables.x[MENTION_IMAGE].shape == tables.x[ENTITY_IMAGE].shape == (0, 6)


def test_other_encoder_at_link_time_is_refused(models, data):
    _, preset = make('clip', models, data, Encoding())
    other = make_preset('clip', clip=f'local-dir:{models}/clip')
    other.specs.update(preset.specs)
    other.mentions(data[0])
    other.specs['mention pictures'] = {**other.specs['mention pictures'], 'revision': 'another'}
    with pytest.raises(ValueError, match=r"hold rows of mention pictures by .*another.*encode the tables again"):
        other.mentions(data[0])


@pytest.mark.parametrize(('name', 'more', 'message'), [
    ('nothing', {}, "no preset 'nothing'; there are offline"),
    ('clip', {'colour': 1}, "Preset 'clip'.*colour"),
    ('paper', {'pooling': 'max'}, "'pooling' must be"),
    ('paper', {'outside': 'drop'}, "'outside' must be"),
])
def test_nonsense_is_named(name, more, message):
    with pytest.raises(ValueError, match=message):
        make_preset(name, **more)


def test_detector_is_the_one_that_is_named(models, data):
    preset = make_preset('paper', **options('paper', models), detector='NOTHING')
    with pytest.raises(ValueError, match="Faster R-CNN has no weights 'NOTHING'"):
        preset.entities(data[1])


def test_nothing_learned_is_nothing_to_take_over():
    preset = make_preset('clip')
    preset.load_state({})
    with pytest.raises(ValueError, match="Preset 'clip' learns nothing from entities, but was given mean"):
        preset.load_state({'mean': torch.zeros(3)})


def test_odd_pictures_go_through_the_real_transforms(models, tmp_path):
    Image.new('L', (1, 1)).save(tmp_path / 'one.png')
    Image.fromarray(np.full((5, 300), 40000, np.uint16)).save(tmp_path / 'deep.png')
    Image.new('CMYK', (30, 20)).save(tmp_path / 'cmyk.jpg')
    entities = [Entity(name, name, '', (Picture(tmp_path / name), )) for name in ('one.png', 'deep.png', 'cmyk.jpg')]
    preset = make_preset('clip', clip=f'local-dir:{models}/clip')
    assert preset.entities(entities).image.isfinite().all()
    assert preset.unusable == {}

from dataclasses import replace

import pytest
import torch

from drin_pyg.datasets import EmojiMEL, Mention, Picture
from drin_pyg.features import OfflineFeatures, TextEncoder, pair_tables
from drin_pyg.features.offline import RIDGE
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

BARE, DOUBLE = 3, 5  # an entity without a picture and one with two


@pytest.fixture(scope='module')
def entities():
    entities = EmojiMEL().entities[::60]
    entities[BARE] = replace(entities[BARE], pictures=())
    entities[DOUBLE] = replace(entities[DOUBLE], pictures=entities[DOUBLE].pictures + entities[0].pictures)
    return entities


@pytest.fixture(scope='module')
def mentions(entities):
    ids = [entity.id for entity in entities]
    return [
        Mention('a', 'face', 'a face that laughs', entities[0].pictures, ids[0], tuple(ids[:4])),
        Mention('b', 'cat', 'a cat', (), ids[BARE], (ids[BARE], ids[DOUBLE])),
        Mention('c', 'dog', 'a dog and a cat', entities[1].pictures + entities[2].pictures, None, ()),
    ]


@pytest.fixture(scope='module')
def features(entities):
    preset = OfflineFeatures()
    return preset, preset.entities(entities)


def make(features, mentions):
    preset, entity_side = features
    return pair_tables(preset.mentions(mentions), entity_side)


@pytest.fixture(scope='module')
def tables(features, mentions):
    return make(features, mentions)


def cosines(a, b):
    return torch.stack([torch.stack([(x @ y) / (x.norm() * y.norm()) for y in b]) for x in a])


def weights(tables, edge_type):
    mention, entity = tables.weight[edge_type]
    return mention @ entity.t()


def kernel_ridge(x, y, new):
    """The translation, from the formula of kernel ridge regression."""
    x, y, new = x.double(), y.double(), new.double()

    def kernel(a, b):
        return torch.exp(-RIDGE['gamma'] * torch.stack([(row - b).square().sum(1) for row in a]))

    dual = torch.linalg.solve(kernel(x, x) + RIDGE['alpha'] * torch.eye(len(x), dtype=torch.float64), y)
    return kernel(new, x) @ dual


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def test_texts(features, tables, entities, mentions):
    def encode(texts):
        return TextEncoder.minilm()(texts)['mean']

    torch.testing.assert_close(tables.x[ENTITY_TEXT], encode([f'{e.name}. {e.description}' for e in entities]))
    torch.testing.assert_close(tables.x[MENTION_TEXT], encode([mention.sentence for mention in mentions]))


def test_every_picture_is_a_row(tables, entities):
    assert tables.ptr[MENTION_IMAGE].tolist() == [0, 1, 1, 3]
    counts = tables.ptr[ENTITY_IMAGE].diff()
    assert counts[[BARE, DOUBLE]].tolist() == [0, 2]
    assert counts.sum() == len(entities) == tables.x[ENTITY_IMAGE].size(0)


def test_same_picture_same_features(tables):
    torch.testing.assert_close(tables.x[MENTION_IMAGE][0], tables.x[ENTITY_IMAGE][0], rtol=0, atol=1e-5)


def test_weights_within_a_modality_are_cosines(tables):
    for edge_type in (TEXT_TEXT, IMAGE_IMAGE):
        expected = cosines(tables.x[edge_type[0]], tables.x[edge_type[2]])
        torch.testing.assert_close(weights(tables, edge_type), expected, rtol=0, atol=1e-5)


def test_weights_across_modalities_are_cosines_of_translations(tables, entities):
    owner = [i for i, entity in enumerate(entities) for _ in entity.pictures]
    text, image = tables.x[ENTITY_TEXT][owner], tables.x[ENTITY_IMAGE]
    mean = tables.x[ENTITY_TEXT].mean(0)
    to_image = kernel_ridge(text, image, tables.x[MENTION_TEXT])
    to_text = kernel_ridge(unit(image), text - mean, unit(tables.x[MENTION_IMAGE]))
    torch.testing.assert_close(weights(tables, TEXT_IMAGE).double(), cosines(to_image, image.double()), rtol=0,
                               atol=1e-4)
    torch.testing.assert_close(weights(tables, IMAGE_TEXT).double(),
                               cosines(to_text, (tables.x[ENTITY_TEXT] - mean).double()), rtol=0, atol=1e-4)


def test_translations_point_at_the_own_entity(tables):
    # Mention 2 shows the pictures of entities 1 and 2, which the translation was fitted on.
    assert weights(tables, IMAGE_TEXT)[1:].argmax(1).tolist() == [1, 2]


def test_weights_are_cosines_in_range(tables):
    for edge_type in EDGE_TYPES:
        assert weights(tables, edge_type).abs().max() <= 1 + 1e-5


def test_no_mention_is_used_in_fitting(entities, features, mentions, tables):
    # A mention's rows do not depend on which others there are, before or at the same time.
    again = make(features, [*mentions[1:], replace(mentions[0], sentence='something else')])
    for edge_type in EDGE_TYPES:
        torch.testing.assert_close(again.weight[edge_type][1], tables.weight[edge_type][1])
    assert again.x[ENTITY_IMAGE].equal(tables.x[ENTITY_IMAGE])
    torch.testing.assert_close(again.x[MENTION_TEXT][0], tables.x[MENTION_TEXT][1])
    torch.testing.assert_close(again.weight[IMAGE_TEXT][0][:2], tables.weight[IMAGE_TEXT][0][1:])


def test_nobody_has_a_picture_among_the_mentions(features, mentions):
    tables = make(features, mentions[1:2])
    assert tables.x[MENTION_IMAGE].shape == (0, tables.x[ENTITY_IMAGE].size(1))
    assert tables.weight[IMAGE_TEXT][0].size(0) == 0
    assert tables.ptr[MENTION_IMAGE].tolist() == [0, 0]


def test_no_mentions(features):
    assert make(features, []).num_mentions == 0


def test_state_takes_the_place_of_the_entities(features, mentions, tables):
    other = OfflineFeatures()
    other.load_state(features[0].state)
    again = make((other, features[1]), mentions)
    for edge_type in EDGE_TYPES:
        assert again.weight[edge_type][0].equal(tables.weight[edge_type][0])


@pytest.mark.parametrize(('change', 'message'), [
    (lambda state: state.pop('components'), "wrong about 'components'"),
    (lambda state: state.update(more=torch.zeros(3)), "wrong about 'more'"),
    (lambda state: state['mean'].fill_(torch.nan), "'mean' of preset 'offline'"),
])
def test_state_of_something_else_is_refused(features, change, message):
    state = {name: x.clone() for name, x in features[0].state.items()}
    change(state)
    other = OfflineFeatures()
    with pytest.raises(ValueError, match=message):
        other.load_state(state)
    assert other.state == {}


def test_translations_learn_from_a_part_of_many_pictures(entities, monkeypatch):
    monkeypatch.setattr('drin_pyg.features.offline.MAX_FIT', 10)
    preset = OfflineFeatures()
    preset.entities(entities)
    assert preset.state['to_image.source'].shape == (10, 384)
    assert preset.state['to_text.source'].size(0) == preset.state['to_text.dual'].size(0) == 10


def test_entities_without_pictures_are_refused(entities):
    bare = [replace(entity, pictures=()) for entity in entities[:4]]
    with pytest.raises(ValueError, match='but only 1 of 4 entities have one'):
        OfflineFeatures().entities([*bare[:3], entities[0]])


def test_picture_that_cannot_be_used_is_no_row(entities, tmp_path):
    (tmp_path / 'bad.png').write_bytes(b'bad')
    broken = replace(entities[2], pictures=(Picture(tmp_path / 'bad.png'), *entities[2].pictures,
                                            Picture(tmp_path / 'gone.png')))
    preset = OfflineFeatures()
    side = preset.entities([*entities[:2], broken, *entities[3:]])
    assert side.ptr.equal(OfflineFeatures().entities(entities).ptr)
    assert preset.unusable == {str(tmp_path / 'bad.png'): 'not an image', str(tmp_path / 'gone.png'): 'missing'}

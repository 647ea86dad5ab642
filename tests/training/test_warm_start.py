import numpy as np
import pytest
import torch

from drin_pyg.features import NIL, Candidates
from drin_pyg.nn import DRIN
from drin_pyg.training.warm_start import SHRINKAGE, warm_start
from drin_pyg.vocabulary import (
    ENTITY_IMAGE,
    ENTITY_TEXT,
    MENTION_IMAGE,
    MENTION_TEXT,
    NODE_TYPES,
)
from tests.training.tables import WIDTH, make_tables

SIDES = {'text': (MENTION_TEXT, ENTITY_TEXT), 'image': (MENTION_IMAGE, ENTITY_IMAGE)}


def whitened_products(x, z, pairs):
    """Inner products of all whitened mentions with all whitened entities, by numpy, with all directions kept."""
    x, z = x.double().numpy(), z.double().numpy()
    x_mean, own_mean = sum(x[m] for m, _ in pairs) / len(pairs), sum(z[e] for _, e in pairs) / len(pairs)
    own = [(x[m] - x_mean) - (z[e] - own_mean) for m, e in pairs]
    covariance = sum(np.outer(row, row) for row in own) / len(own) / 2
    covariance += SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    inverse = np.linalg.inv(covariance)
    return (x - x_mean) @ inverse @ (z - z.mean(0)).T


@pytest.mark.parametrize('side', SIDES)
def test_projections_whiten_the_differences(side):
    # W W^T is the inverse of the shrunk covariance up to one factor, whatever rotation the directions chose.
    tables, candidates, split = make_tables()
    model = warm_start(DRIN(WIDTH, WIDTH), tables, candidates, split['train'])
    mention_type, entity_type = SIDES[side]
    u = model.encoders[mention_type](tables.x[mention_type]).detach().double()
    v = model.encoders[entity_type](tables.x[entity_type]).detach().double()
    pairs = [(m, int(candidates.gold[m])) for m in split['train'].tolist()]
    expected = torch.from_numpy(whitened_products(tables.x[mention_type], tables.x[entity_type], pairs))
    actual = u @ v.t()
    factor = (actual * expected).sum() / expected.square().sum()
    assert factor > 0
    torch.testing.assert_close(actual, factor * expected, rtol=0, atol=1e-4 * float(actual.abs().max()))


@pytest.mark.parametrize('width', [3, WIDTH, 2 * WIDTH])
def test_both_sides_share_a_matrix_and_entities_have_unit_variance(width):
    tables, candidates, split = make_tables()
    model = warm_start(DRIN(WIDTH, width), tables, candidates, split['train'])
    for mention_type, entity_type in SIDES.values():
        assert model.encoders[mention_type].weight.equal(model.encoders[entity_type].weight)
        v = model.encoders[entity_type](tables.x[entity_type])
        torch.testing.assert_close(v.mean(0), torch.zeros(width), rtol=0, atol=1e-5)
        torch.testing.assert_close(v.square().mean(), torch.tensor(1.0))


def test_fewer_channels_keep_the_main_directions():
    tables, candidates, split = make_tables()
    wide = warm_start(DRIN(WIDTH, WIDTH), tables, candidates, split['train']).encoders[ENTITY_TEXT]
    narrow = warm_start(DRIN(WIDTH, 3), tables, candidates, split['train']).encoders[ENTITY_TEXT]
    variance = wide(tables.x[ENTITY_TEXT]).var(0)
    assert variance[:3].min() >= variance[3:].max()
    ratio = narrow.weight / wide.weight[:3]
    torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio), rtol=1e-3, atol=0)


def test_only_training_mentions_are_used():
    tables, candidates, split = make_tables()
    before = warm_start(DRIN(WIDTH, 4), tables, candidates, split['train'])
    gold = candidates.gold.clone()
    gold[split['test']] = 0
    tables.x[MENTION_IMAGE][split['test'][0]] = 100
    other = Candidates(candidates.ptr, candidates.entity, gold)
    after = warm_start(DRIN(WIDTH, 4), tables, other, split['train'])
    assert before.encoders[MENTION_TEXT].weight.equal(after.encoders[MENTION_TEXT].weight)
    assert before.encoders[MENTION_IMAGE].weight.equal(after.encoders[MENTION_IMAGE].weight)


def test_widths_to_be_inferred_are_those_of_the_tables():
    tables, candidates, split = make_tables()
    model = warm_start(DRIN(hidden_channels=4), tables, candidates, split['train'])
    assert {t: model.encoders[t].in_channels for t in NODE_TYPES} == dict.fromkeys(NODE_TYPES, WIDTH)
    again = warm_start(DRIN(WIDTH, 4), tables, candidates, split['train'])
    assert model.encoders[MENTION_TEXT].weight.equal(again.encoders[MENTION_TEXT].weight)


def test_mentions_without_answer_do_not_count():
    tables, candidates, split = make_tables()
    gold = candidates.gold.clone()
    gold[:5] = NIL
    some = warm_start(DRIN(WIDTH, 4), tables, Candidates(candidates.ptr, candidates.entity, gold), split['train'])
    rest = warm_start(DRIN(WIDTH, 4), tables, candidates, split['train'][5:])
    assert some.encoders[MENTION_IMAGE].weight.equal(rest.encoders[MENTION_IMAGE].weight)


def test_different_widths_are_refused():
    tables, candidates, split = make_tables(entity_width=8)
    with pytest.raises(ValueError, match="'mention_text' with 'entity_text', but they are 6 and 8 wide"):
        warm_start(DRIN(hidden_channels=4), tables, candidates, split['train'])


def test_modality_that_nobody_has_keeps_its_random_start():
    tables, candidates, split = make_tables(images=False)
    torch.manual_seed(0)
    model = DRIN(WIDTH, 4)
    before = model.encoders[MENTION_IMAGE].weight.clone()
    warm_start(model, tables, candidates, split['train'])
    assert model.encoders[MENTION_IMAGE].weight.equal(before)
    assert model.encoders[MENTION_TEXT].weight.equal(model.encoders[ENTITY_TEXT].weight)

import dataclasses

import pytest
import torch

from drin_pyg.features import PairTables
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE, MENTION_TEXT, NODE_TYPES

IMAGES = [MENTION_IMAGE, ENTITY_IMAGE]


def parts(world):
    """Copies of the constructor's arguments, to be spoilt one at a time."""
    tables = world.tables
    return {'x': dict(tables.x), 'weight': dict(tables.weight), 'ptr': dict(tables.ptr)}


def test_counts(world):
    assert (world.tables.num_mentions, world.tables.num_entities) == (6, 8)


def test_rows_of_texts_and_images(world):
    owner = torch.tensor([3, 1, 3])
    assert world.tables.num_rows(MENTION_TEXT, owner).tolist() == [1, 1, 1]
    assert world.tables.first_row(MENTION_TEXT, owner).tolist() == [3, 1, 3]
    assert world.tables.num_rows(MENTION_IMAGE, owner).tolist() == [3, 0, 3]
    assert world.tables.first_row(MENTION_IMAGE, owner).tolist() == [3, 1, 3]


@pytest.mark.parametrize('edge_type', EDGE_TYPES)
def test_first_weight_is_the_inner_product(world, edge_type):
    left, right = world.tables.weight[edge_type]
    src, dst = torch.tensor([5, 0, 0]), torch.tensor([1, 1, 7])
    expected = [sum(float(a) * float(b) for a, b in zip(left[i], right[j], strict=True))
                for i, j in zip(src, dst, strict=True)]
    assert world.tables.first_weight(edge_type, src, dst).tolist() == pytest.approx(expected, abs=1e-6)


def test_is_frozen(world):
    with pytest.raises(dataclasses.FrozenInstanceError):
        world.tables.x = {}


@pytest.mark.parametrize('node_type', NODE_TYPES)
def test_missing_features_are_named(world, node_type):
    kwargs = parts(world)
    del kwargs['x'][node_type]
    with pytest.raises(ValueError, match=f"'x' lacks node type '{node_type}'"):
        PairTables(**kwargs)


@pytest.mark.parametrize('node_type', NODE_TYPES)
@pytest.mark.parametrize('spoil', [lambda x: x.long(), lambda x: x[:, 0], lambda x: x.unsqueeze(0), lambda x: x[:, :0]],
                         ids=['integers', 'one number per row', 'three dimensions', 'no width'])
def test_features_that_are_no_float_matrix_are_named(world, node_type, spoil):
    kwargs = parts(world)
    kwargs['x'][node_type] = spoil(kwargs['x'][node_type])
    with pytest.raises(ValueError, match=rf"x\['{node_type}'\] must be a float tensor \[rows, F\]"):
        PairTables(**kwargs)


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('node_type', NODE_TYPES)
def test_features_that_are_not_finite_are_named_with_their_row(world, node_type, bad):
    kwargs = parts(world)
    x = kwargs['x'][node_type] = kwargs['x'][node_type].clone()
    x[2, 1] = x[4, 0] = bad
    with pytest.raises(ValueError, match=rf"x\['{node_type}'\] holds NaN or infinite.* 2 row\(s\), the first is row 2"):
        PairTables(**kwargs)


def test_known_tables_are_not_read_again(world):
    kwargs = parts(world)
    kwargs['x'][ENTITY_TEXT] = torch.full_like(kwargs['x'][ENTITY_TEXT], torch.nan)
    PairTables(**kwargs, known=[ENTITY_TEXT])
    with pytest.raises(ValueError, match='holds NaN'):
        PairTables(**kwargs, known=[MENTION_TEXT])
    kwargs['x'][ENTITY_TEXT] = kwargs['x'][ENTITY_TEXT][:3]
    with pytest.raises(ValueError, match=r'must be int64 \[4\]'):  # their shapes are
        PairTables(**kwargs, known=[ENTITY_TEXT])


@pytest.mark.parametrize(('node_type', 'owner'), [(MENTION_IMAGE, MENTION_TEXT), (ENTITY_IMAGE, ENTITY_TEXT)])
def test_images_without_ptr_must_be_one_per_owner(world, node_type, owner):
    kwargs = parts(world)
    del kwargs['ptr'][node_type]
    kwargs['x'][node_type] = kwargs['x'][node_type][:3]
    with pytest.raises(ValueError, match=rf"x\['{node_type}'\] has 3 rows for . rows of '{owner}'.*ptr"):
        PairTables(**kwargs)


@pytest.mark.parametrize('node_type', [MENTION_TEXT, ENTITY_TEXT])
def test_texts_take_no_ptr(world, node_type):
    kwargs = parts(world)
    kwargs['ptr'][node_type] = torch.arange(kwargs['x'][node_type].size(0) + 1)
    with pytest.raises(ValueError, match=f"'{node_type}' has one row per owner"):
        PairTables(**kwargs)


@pytest.mark.parametrize('node_type', IMAGES)
@pytest.mark.parametrize('spoil', [lambda ptr: ptr[:-1], lambda ptr: ptr.int(), lambda ptr: ptr.unsqueeze(0)],
                         ids=['short', 'int32', 'two dimensions'])
def test_ptr_of_a_wrong_form_is_named(world, node_type, spoil):
    kwargs = parts(world)
    kwargs['ptr'][node_type] = spoil(kwargs['ptr'][node_type])
    with pytest.raises(ValueError, match=rf"ptr\['{node_type}'\] must be int64 \[.\] \(owners \+ 1\)"):
        PairTables(**kwargs)


@pytest.mark.parametrize('node_type', IMAGES)
@pytest.mark.parametrize(('position', 'value'), [(0, 1), (-1, 5), (2, 9)],
                         ids=['starts late', 'ends early', 'falls'])
def test_ptr_that_does_not_cover_the_rows_is_named(world, node_type, position, value):
    kwargs = parts(world)
    kwargs['ptr'][node_type] = kwargs['ptr'][node_type].clone()
    kwargs['ptr'][node_type][position] = value
    with pytest.raises(ValueError, match=rf"ptr\['{node_type}'\] must rise from 0 to the . rows"):
        PairTables(**kwargs)


@pytest.mark.parametrize('edge_type', EDGE_TYPES)
def test_missing_relation_is_named(world, edge_type):
    kwargs = parts(world)
    del kwargs['weight'][edge_type]
    with pytest.raises(ValueError, match=f"'weight' lacks relation '{edge_type[1]}'"):
        PairTables(**kwargs)


@pytest.mark.parametrize('side', [0, 1])
@pytest.mark.parametrize('edge_type', EDGE_TYPES)
def test_misaligned_weight_table_is_named(world, edge_type, side):
    kwargs = parts(world)
    tables = list(kwargs['weight'][edge_type])
    tables[side] = tables[side][1:]
    kwargs['weight'][edge_type] = tuple(tables)
    with pytest.raises(ValueError, match=rf"'{edge_type[2 * side]}' table of weight\['{edge_type[1]}'\]"):
        PairTables(**kwargs)


@pytest.mark.parametrize('spoil', [lambda table: table[:, :2], lambda table: table.double()], ids=['width', 'dtype'])
def test_weight_tables_that_differ_are_named(world, spoil):
    kwargs = parts(world)
    left, right = kwargs['weight'][EDGE_TYPES[1]]
    kwargs['weight'][EDGE_TYPES[1]] = (left, spoil(right))
    with pytest.raises(ValueError, match=r"two tables of weight\['text_image'\] differ"):
        PairTables(**kwargs)


@pytest.mark.parametrize('side', [0, 1])
def test_weight_table_that_is_not_finite_is_named(world, side):
    kwargs = parts(world)
    kwargs['weight'][EDGE_TYPES[2]][side][1, 1] = float('nan')
    with pytest.raises(ValueError, match=r"weight\['image_text'\] holds NaN.* 1 row\(s\), the first is row 1"):
        PairTables(**kwargs)


def test_nobody_has_an_image():
    x = {t: torch.ones(2, 3) for t in (MENTION_TEXT, ENTITY_TEXT)} | {t: torch.empty(0, 3) for t in IMAGES}
    weight = {t: (x[t[0]][:, :1], x[t[2]][:, :1]) for t in EDGE_TYPES}
    tables = PairTables(x, weight, {t: torch.zeros(3, dtype=torch.long) for t in IMAGES})
    assert tables.num_rows(ENTITY_IMAGE, torch.tensor([0, 1])).tolist() == [0, 0]

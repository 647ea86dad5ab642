"""The index: what it stores, its files, and entities that come, change and go."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from drin_pyg.features import Candidates
from drin_pyg.features.side_tables import SideTables, side_tables
from drin_pyg.linking import CandidateScorer, EntityIndex
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT
from tests.linking.test_candidate_scorer import cast, make_model, perturbed
from tests.world import WIDTHS

NAMES = ['Q0', 'Q1', 'Ωmega', 'Q3', '', 'Q5', 'a b\nc', 'Q7']


@pytest.fixture
def model():
    return make_model(dtype=torch.float64)


@pytest.fixture
def sides(world):
    return side_tables(cast(world.tables, torch.float64))


def build(model, entities, **kwargs):
    return EntityIndex.build(model, entities, NAMES[:entities.text.size(0)], dtype=torch.float64, **kwargs)


def take(entities, rows):
    """Some rows of a side, by loops."""
    images = [list(range(*entities.ptr[row:row + 2].tolist())) for row in rows]
    flat = [image for own in images for image in own]
    weight = {e: table[flat if 'image' in e[2] else rows] for e, table in entities.weight.items()}
    ptr = torch.tensor([0, *(len(own) for own in images)]).cumsum(0)
    return SideTables(entities.text[rows], entities.image[flat], ptr, weight)


def scores(model, index, sides, candidates, context='mention'):
    return CandidateScorer(model, index, context=context)(sides[0], candidates)


def test_what_is_stored(model, sides):
    index = build(model, sides[1])
    conv, part = model.convs[0], index.parts[0]
    for node_type, x in ((ENTITY_TEXT, sides[1].text), (ENTITY_IMAGE, sides[1].image)):
        v = model.encoders[node_type](x)
        torch.testing.assert_close(part[f'vertex.{node_type}'], v)
        torch.testing.assert_close(part[f'hidden.shared.{node_type}'], v @ conv.lins['shared'].weight.t())
    assert sum('weight.' in name for name in part) == 4
    assert len(index) == index.num_entities == 8
    assert '8 entities, float64' in repr(index)


def test_nothing_is_stored_that_nothing_reads(sides):
    def arrays(**kwargs):
        return set(build(make_model(**kwargs), sides[1]).widths)

    assert arrays(kind='own static text', residual=False, num_layers=1, edge_types=EDGE_TYPES[:1]) \
        == {f'hidden.{t}.{ENTITY_TEXT}' for t in ('mention_text', ENTITY_TEXT)} | {f'weight.text_text.{ENTITY_TEXT}'}
    assert arrays(kind='published', num_layers=0) == {f'vertex.{ENTITY_TEXT}'}
    assert not any(name.startswith('vertex') for name in arrays(kind='own static text', residual=False, num_layers=2))


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_saved_and_loaded(model, sides, world, tmp_path, dtype):
    index = EntityIndex.build(model, sides[1], NAMES, dtype=dtype)
    index.save(tmp_path / 'saved')
    EntityIndex.build(model, sides[1], NAMES, dtype=dtype, folder=tmp_path / 'streamed')
    expected = scores(model, index, sides, world.candidates)
    for name in ('saved', 'streamed'):
        loaded = EntityIndex.load(tmp_path / name, model)
        assert loaded.dtype == dtype
        assert torch.equal(scores(model, loaded, sides, world.candidates), expected)
        assert loaded.numbers(NAMES).tolist() == list(range(8))
        assert sorted(path.suffix for path in (tmp_path / name).iterdir()) == ['.json', '.safetensors']


def test_the_files_are_plain_safetensors(model, sides, tmp_path):
    index = build(model, sides[1], folder=tmp_path)
    path, = tmp_path.glob('*.safetensors')
    for name, value in load_file(path).items():
        assert torch.equal(value, index.parts[0][name])


def test_a_loaded_index_is_mapped(model, tmp_path):
    entities = SideTables(torch.randn(4000, WIDTHS[ENTITY_TEXT]), torch.randn(4000, WIDTHS[ENTITY_IMAGE]),
                          torch.arange(4001), {e: torch.randn(4000, 600) for e in EDGE_TYPES})
    EntityIndex.build(model, entities, folder=tmp_path)  # 38 MB in float32

    def resident():
        with open('/proc/self/smaps') as file:
            maps = file.read().split(str(next(tmp_path.glob('*.safetensors'))))[1:]
        return sum(int(text.split('Rss:')[1].split()[0]) for text in maps)  # KiB

    index = EntityIndex.load(tmp_path)
    before = resident()
    index.parts[0][f'weight.text_text.{ENTITY_TEXT}'].sum()
    assert before < 5000 < resident()  # the header and who has images, then a table of 19 MB


def test_added_replaced_and_removed(model, sides, world):
    entities = sides[1]
    whole = build(model, entities)
    for context in ('pair', 'mention'):
        expected = scores(model, whole, sides, world.candidates, context)
        index = build(model, take(entities, [0, 1, 2, 3]))
        assert index.add(model, take(entities, [4, 5]), NAMES[4:6]).tolist() == [4, 5]
        assert index.add(model, take(entities, [0, 1]), NAMES[6:]).tolist() == [6, 7]
        assert not torch.allclose(scores(model, index, sides, world.candidates, context), expected)
        index.replace(model, take(entities, [7, 6]), [NAMES[7], NAMES[6]])
        torch.testing.assert_close(scores(model, index, sides, world.candidates, context), expected)
        assert index.numbers(NAMES).tolist() == list(range(8))
        index.remove([NAMES[5]])
        assert index.numbers(NAMES).tolist() == [0, 1, 2, 3, 4, -1, 6, 7]
        assert len(index) == 7
        rest = Candidates.from_lists([[0, 1, 2], [], [3], [6, 4, 3, 2, 1, 0], [2, 2], [7, 4]])
        torch.testing.assert_close(scores(model, index, sides, rest, context),
                                   scores(model, whole, sides, rest, context))
        with pytest.raises(ValueError, match='Entity 5 was removed'):
            scores(model, index, sides, world.candidates, context)
        best = CandidateScorer(model, index, context=context)(sides[0], None, k=20)
        assert sorted(best.entity[0].tolist()) == [-1] * 13 + [0, 1, 2, 3, 4, 6, 7]
        assert index.add(model, take(entities, [5]), [NAMES[5]]).tolist() == [8]  # numbers are not given again


def test_changes_are_saved_beside_what_was_there(model, sides, world, tmp_path):
    entities = sides[1]
    index = build(model, take(entities, [0, 1, 2, 3, 4, 5]), folder=tmp_path)
    first, = tmp_path.glob('part-*')
    inode, written = first.stat().st_ino, first.stat().st_mtime_ns
    index = EntityIndex.load(tmp_path)
    index.add(model, take(entities, [0, 7]), NAMES[6:])
    index.replace(model, take(entities, [6]), [NAMES[6]])
    index.save(tmp_path)
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (inode, written)
    expected = scores(model, build(model, entities), sides, world.candidates)
    torch.testing.assert_close(scores(model, EntityIndex.load(tmp_path), sides, world.candidates), expected)
    index.remove([NAMES[0]])
    index.save(tmp_path)
    assert EntityIndex.load(tmp_path).numbers(NAMES[:2]).tolist() == [-1, 1]
    assert len(list(tmp_path.iterdir())) == 5  # three parts, rows, manifest: nothing is left over
    index.save(tmp_path / 'copy')
    assert len(EntityIndex.load(tmp_path / 'copy')) == 7


def test_another_model_is_refused_by_name(model, sides, tmp_path):
    index = build(model, sides[1], folder=tmp_path)
    with pytest.raises(ValueError, match=r'built with another model .*its parameters differ'):
        EntityIndex.load(tmp_path, perturbed(model))
    with pytest.raises(ValueError, match=r"num_layers is 2 there and 1 here"):
        index.check_model(make_model(num_layers=1))
    with pytest.raises(ValueError, match='another model'):
        index.add(perturbed(model), sides[1])


def test_nonsense_is_named(model, sides, tmp_path):
    entities = sides[1]
    with pytest.raises(FileNotFoundError, match='no entity index'):
        EntityIndex.load(tmp_path)
    with pytest.raises(ValueError, match='one id, and another one'):
        EntityIndex.build(model, entities, ['a'] * 8)
    with pytest.raises(ValueError, match="'dtype' must be one of float64, float32, bfloat16, float16"):
        EntityIndex.build(model, entities, dtype=torch.int8)
    with pytest.raises(ValueError, match='whose edges are vectors'):
        EntityIndex.build(DRIN(WIDTHS, 8, 1, vector_edges=True), entities)
    with pytest.raises(ValueError, match=f"'{ENTITY_TEXT}' features of width 6, got 9"):
        EntityIndex.build(model, replace(entities, text=torch.zeros(8, 9, dtype=torch.float64)))
    index = build(model, entities)
    with pytest.raises(ValueError, match="has an entity 'Q0' already; replace it"):
        index.add(model, entities, NAMES)
    for change in (index.remove, lambda ids: index.replace(model, take(entities, [0]), ids)):
        with pytest.raises(ValueError, match="no entity 'nobody'"):
            change(['nobody'])
    index.save(tmp_path / 'own')
    with pytest.raises(FileExistsError, match='holds an index'):
        build(model, entities).save(tmp_path / 'own')
    with pytest.raises(FileExistsError, match='holds an index'):
        build(model, entities, folder=tmp_path / 'own')


@pytest.mark.parametrize('damage', ['cut', 'text', 'gone', 'manifest', 'format', 'path', 'empty'])
def test_damaged_files_are_named(model, sides, tmp_path, damage):
    build(model, sides[1], folder=tmp_path)
    part, manifest = next(tmp_path.glob('*.safetensors')), tmp_path / 'index.json'
    content = json.loads(manifest.read_text())
    if damage == 'cut':
        part.write_bytes(part.read_bytes()[:-8])
    elif damage == 'text':
        part.write_text('no tensors')
    elif damage == 'gone':
        part.unlink()
    elif damage == 'manifest':
        manifest.write_text('{')
    else:
        content |= {'format': {'format': 99}, 'path': {'parts': ['../elsewhere.safetensors']},
                    'empty': {'parts': []}}[damage]
        manifest.write_text(json.dumps(content))
    with pytest.raises((ValueError, FileNotFoundError), match=r'index\.json|safetensors'):
        EntityIndex.load(tmp_path)

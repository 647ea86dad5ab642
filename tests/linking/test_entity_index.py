"""The index: what it stores, its files, and entities that come, change and go."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from drin_pyg.features import Candidates
from drin_pyg.features.side_tables import SideTables, side_tables
from drin_pyg.files import read_record, write_record
from drin_pyg.linking import CandidateScorer, EntityIndex
from drin_pyg.linking.index_folder import MANIFEST, write_manifest, write_part
from drin_pyg.linking.index_part import OWN_NAMES
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, IMAGE_TEXT
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


def test_what_is_added_lies_where_the_index_does(model, sides):
    index = build(model, sides[1]).to('meta')
    index.add(model, take(sides[1], [0, 3]), ['a', 'b'])
    assert len(index.parts) == 2
    for part in index.parts:
        assert {name: x.device.type for name, x in part.items()} \
            == {name: 'cpu' if name in OWN_NAMES else 'meta' for name in part}
    assert index.numbers(['Q3', 'b']).tolist() == [3, 9]


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
    narrow = {e: table[:, :2] if e == IMAGE_TEXT else table for e, table in entities.weight.items()}
    with pytest.raises(ValueError, match=f"'weight.image_text.{ENTITY_TEXT}' has width 2, the index 3"):
        index.add(model, replace(entities, weight=narrow), [f'new {name}' for name in NAMES])
    for change in (index.remove, lambda ids: index.replace(model, take(entities, [0]), ids)):
        with pytest.raises(ValueError, match="no entity 'nobody'"):
            change(['nobody'])
    index.save(tmp_path / 'own')
    with pytest.raises(FileExistsError, match='holds an index'):
        build(model, entities).save(tmp_path / 'own')
    with pytest.raises(FileExistsError, match='holds an index'):
        build(model, entities, folder=tmp_path / 'own')


def rewrite(part, **changes):
    """A manifest that is whole, but says something else."""
    path = part.parent / MANIFEST
    write_record(path, read_record(path) | changes)


@pytest.mark.parametrize(('damage', 'message'), [
    (lambda part: part.write_bytes(part.read_bytes()[:-8]), r"part-\w+\.safetensors' is no readable tensor file"),
    (lambda part: part.write_text('no tensors'), r"part-\w+\.safetensors' is no readable tensor file"),
    (lambda part: part.unlink(), r"part-\w+\.safetensors' is missing"),
    (lambda part: (part.parent / MANIFEST).write_text('{'), r"index\.json' is no readable index"),
    (lambda part: rewrite(part, format=99), r"index\.json' is no readable index: .*format 99"),
    (lambda part: rewrite(part, model=5), r"index\.json' is no readable index: it does not say which model"),
    (lambda part: rewrite(part, config=None), r"index\.json' is no readable index: it does not say which model"),
    (lambda part: rewrite(part, parts=[]), r"index\.json' is no readable index: it names no files"),
    (lambda part: rewrite(part, parts=[part.name] * 2), r"index\.json' is no readable index: it names no files"),
    (lambda part: rewrite(part, parts=['../elsewhere.safetensors']), r"index\.json' is no .*names no file of"),
])
def test_damaged_files_are_named(model, sides, tmp_path, damage, message):
    build(model, sides[1], folder=tmp_path)
    damage(next(tmp_path.glob('*.safetensors')))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        EntityIndex.load(tmp_path)


VERTEX = f'vertex.{ENTITY_TEXT}'
HUGE = 2**63 - 1  # twice that and 10 are 8 in int64, as many images as there are


@pytest.mark.parametrize(('change', 'row', 'message'), [
    (lambda part: [part], None, None),
    (lambda part: [part], torch.tensor([-1, 7, 0]), None),
    (lambda part: [part, {name: x for name, x in part.items() if name != VERTEX}], torch.arange(16), 'fit together'),
    (lambda part: [part | {'id_ptr': part['id_ptr'][:-1]}], None, 'its parts do not fit together'),
    (lambda part: [part | {'num_images': part['num_images'].byte()}], None, r"'num_images' is torch\.uint8 \[8\]"),
    (lambda part: [part | {'ids': part['ids'].unsqueeze(1)}], None, r"'ids' is torch\.uint8 \[\d+, 1\]"),
    (lambda part: [part | {VERTEX: part[VERTEX].float()}], None, 'is torch.float32 .*, not torch.float64'),
    (lambda part: [part | {VERTEX: part[VERTEX][1:]}], None, r'\[7, 8\], not torch\.float64 \[8, 8\]'),
    (lambda part: [part, part | {VERTEX: part[VERTEX][:, 1:]}], torch.arange(16), r'\[8, 7\], not .* \[8, 8\]'),
    (lambda part: [part | {'num_images': torch.tensor([HUGE, HUGE, 10, 0, 0, 0, 0, 0])}], None,
     rf"{ENTITY_IMAGE}' is torch\.float64 \[8, \d\], not torch\.float64 \[{2**64}, \d\]"),
    (lambda part: [part, part], None, 'does not say which entity is where'),
    (lambda part: [part], torch.arange(8.0), r"'row' is torch\.float32 \[8\]"),
    (lambda part: [part], torch.arange(8).view(2, 4), r"'row' is torch\.int64 \[2, 4\]"),
    (lambda part: [part], torch.tensor([0, 8]), 'it points outside of its parts'),
    (lambda part: [part], torch.tensor([0, -2]), 'it points outside of its parts'),
])
def test_parts_that_do_not_belong_together_are_refused(model, sides, tmp_path, change, row, message):
    index = build(model, sides[1])
    names = [write_part(tmp_path, part) for part in change(index.parts[0])]
    if row is not None:
        save_file({'row': row}, tmp_path / 'rows.safetensors')
    write_manifest(tmp_path, {**index.manifest, 'parts': names, 'rows': None if row is None else 'rows.safetensors'})
    if message is None:
        assert len(EntityIndex.load(tmp_path, model)) == (8 if row is None else 2)
        return
    with pytest.raises(ValueError, match=rf"index\.json' is no readable index: .*{message}"):
        EntityIndex.load(tmp_path)


@pytest.mark.parametrize('change', [
    lambda part: {name: x for name, x in part.items() if name != VERTEX},
    lambda part: part | {'more': part[VERTEX]},
    lambda part: part | {VERTEX: part[VERTEX][:, 1:]},
])
def test_arrays_that_the_model_does_not_read_are_refused(model, sides, tmp_path, change):
    index = build(model, sides[1])
    name = write_part(tmp_path, change(index.parts[0]))
    write_manifest(tmp_path, {**index.manifest, 'parts': [name]})
    with pytest.raises(ValueError, match=f"arrays of the entity index in '{tmp_path}' are not those that its model"):
        EntityIndex.load(tmp_path, model)


def test_ids_that_are_no_text_are_named(model, sides, tmp_path):
    index = build(model, sides[1])
    index.parts[0]['ids'][0] = 255  # begins no character
    index.save(tmp_path)
    with pytest.raises(ValueError, match=f"The entity index in '{tmp_path}' holds ids that are no text: .*build it"):
        EntityIndex.load(tmp_path, model).numbers(NAMES)

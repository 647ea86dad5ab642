import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.transforms import Compose

from drin_pyg.evaluation import evaluate_scores
from drin_pyg.graph import LinkCandidates, PairEdges, SplitEntity, SplitMention, candidate_batch, forward_args
from drin_pyg.nn import DRIN, HeteroDRIN, start_extra
from drin_pyg.nn.loss import softmax_loss
from drin_pyg.training import CandidateDataModule, fit, predict, warm_start
from drin_pyg.vocabulary import (
    EDGE_TYPES,
    ENTITY_NAME,
    ENTITY_TEXT,
    IMAGE_IMAGE,
    MENTION_SURFACE,
    MENTION_TEXT,
    METADATA,
    SIMILAR,
    SURFACE_NAME,
    SURFACE_TEXT,
    TEXT_IMAGE,
    TEXT_NAME,
    TEXT_TEXT,
)
from tests.training.tables import make_tables
from tests.world import WIDTHS

METADATA_ALL = ([*METADATA[0], MENTION_SURFACE, ENTITY_NAME],
                [*EDGE_TYPES, SURFACE_TEXT, TEXT_NAME, SURFACE_NAME, SIMILAR])
both_contexts = pytest.mark.parametrize('context', ['pair', 'mention'])
compact_or_not = pytest.mark.parametrize('compact', [False, True])


def randn(*size, seed=7):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def draw(model, scale=0.3):
    """Gives every parameter a value of its own: at the start of a residual layer many are zero."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return model


def all_batch(world, compact=True):
    """A batch with every further vertex and relation."""
    mention_width, entity_width = WIDTHS[MENTION_TEXT], WIDTHS[ENTITY_TEXT]
    transform = Compose([PairEdges(), SplitMention(randn(6, mention_width), randn(8, mention_width, seed=1)),
                         SplitEntity(randn(8, mention_width, seed=2)), LinkCandidates(2)])
    assert mention_width != entity_width
    return transform(candidate_batch(world.tables, world.candidates, context='mention', compact=compact))


@both_contexts
@compact_or_not
@pytest.mark.parametrize('options', [{}, {'num_layers': 2}, {'num_layers': 0}, {'num_layers': 2, 'dynamic': False},
                                     {'num_layers': 2, 'shared': False}, {'num_layers': 3, 'residual': False}], ids=str)
def test_equals_drin_on_the_papers_graph(world, context, compact, options):
    batch = PairEdges()(candidate_batch(world.tables, world.candidates, context=context, compact=compact))
    drin = draw(DRIN(WIDTHS, 8, **options))
    model = HeteroDRIN(METADATA, 8, in_channels=WIDTHS, **options)
    model.load_state_dict(drin.state_dict())
    assert model(batch).equal(drin(**forward_args(batch)))


@pytest.mark.parametrize('edge_types', [[TEXT_TEXT], [TEXT_IMAGE, IMAGE_IMAGE]])
def test_equals_drin_with_relations_switched_off(world, edge_types):
    batch = PairEdges()(candidate_batch(world.tables, world.candidates))
    drin = draw(DRIN(WIDTHS, 8, 2, edge_types))
    model = HeteroDRIN((METADATA[0], edge_types), 8, 2, in_channels=WIDTHS)
    model.load_state_dict(drin.state_dict())
    assert model(batch).equal(drin(**forward_args(batch)))


def test_starts_as_drin_does(world):
    torch.manual_seed(0)
    drin = DRIN(WIDTHS, 8)
    torch.manual_seed(0)
    model = HeteroDRIN(METADATA, 8, in_channels=WIDTHS)
    assert all(value.equal(model.state_dict()[name]) for name, value in drin.state_dict().items())


@compact_or_not
@torch.no_grad()
def test_score_without_layers_against_loops(world, compact):
    batch = all_batch(world, compact)
    model = HeteroDRIN(METADATA_ALL, 8, 0)
    model(batch)  # widths are inferred
    found = draw(model)(batch)
    expected = [0.0] * world.candidates.num_pairs
    rows = {t: model.encoders[t](batch[t].x[batch[t].row] if compact else batch[t].x) for t in METADATA_ALL[0]}
    for r, edge_type in enumerate(model.read_edge_types):
        store, of_pair = batch[edge_type], {}
        for e, (i, j) in enumerate(store.edge_index.t().tolist()):
            u, v = rows[edge_type[0]][i], rows[edge_type[2]][j]
            cosine = float(u @ v / (u.norm() * v.norm()))
            value = float(model.relation_scale[r] * store.edge_weight[e] + model.cosine_scale[r] * cosine)
            of_pair.setdefault(int(store.pair[e]), []).append(value)
        for pair, values in of_pair.items():
            expected[pair] += sum(values) / len(values)
    assert SIMILAR not in model.read_edge_types
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize('options', [{'num_layers': 1}, {'num_layers': 2, 'shared': False},
                                     {'num_layers': 2, 'residual': False, 'dynamic': False}], ids=str)
def test_compact_or_not_is_the_same(world, options):
    model = HeteroDRIN(METADATA_ALL, 8, **options)
    model(all_batch(world))
    draw(model)
    torch.testing.assert_close(model(all_batch(world, True)), model(all_batch(world, False)), rtol=0, atol=1e-5)


@compact_or_not
@pytest.mark.parametrize('options', [{}, {'num_layers': 3}, {'num_layers': 2, 'shared': False},
                                     {'num_layers': 2, 'dynamic': False}, {'residual': False}], ids=str)
def test_every_parameter_is_read(world, compact, options):
    batch = all_batch(world, compact)
    model = HeteroDRIN(METADATA_ALL, 8, **options)
    model(batch)
    draw(model)
    model.loss(batch, softmax_loss).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_candidates_that_are_linked_hear_of_each_other(world):
    # Another candidate's description reaches a score over the links, though never through the score itself.
    batch = all_batch(world, compact=False)
    model = HeteroDRIN(([MENTION_TEXT, ENTITY_TEXT], [TEXT_TEXT, SIMILAR]), 8)
    model(batch)
    draw(model)
    x = batch[ENTITY_TEXT].x.clone().requires_grad_()
    batch[ENTITY_TEXT].x = x
    model(batch)[0].backward()
    heard = x.grad.abs().sum(1) > 0
    assert heard[:3].tolist() == [True, True, True]
    assert not bool(heard[3:].any())  # those of other mentions


def test_reads_what_it_is_told(world):
    batch = all_batch(world)
    model = HeteroDRIN(METADATA_ALL, 8, read_edge_types=[TEXT_NAME, TEXT_TEXT], comparable=[TEXT_TEXT])
    assert model.read_edge_types == [TEXT_NAME, TEXT_TEXT]
    assert model.cosine_scale.tolist() == [0.0, 8.0]
    assert model.relation_scale.tolist() == [0.0, 1.0]
    assert set(model.convs[0].out_edge_types) == {TEXT_NAME, TEXT_TEXT}
    assert model(batch).shape == (world.candidates.num_pairs, )


def test_starts_by_comparing_what_is_of_one_modality():
    same = {TEXT_TEXT, IMAGE_IMAGE, SURFACE_TEXT, TEXT_NAME, SURFACE_NAME}
    model = HeteroDRIN(METADATA_ALL, 8, silent=[])
    assert {e for e, value in zip(model.read_edge_types, model.cosine_scale.tolist(), strict=True) if value} == same
    assert set(model.cosine_scale.tolist()) == {0.0, 8.0, 12.0}
    assert model.relation_scale.tolist() == [1.0] * 7


@pytest.mark.parametrize('num_layers', [0, 1])
def test_starts_where_drin_starts_whatever_else_there_is(world, num_layers):
    # With no layer the weights are read as they come; with layers, a residual one begins by changing nothing.
    batch = all_batch(world)
    drin, model = DRIN(WIDTHS, 8, num_layers), HeteroDRIN(METADATA_ALL, 8, num_layers)
    before = model(batch)
    model.load_state_dict(model.state_dict() | {f'encoders.{t}.{name}': value for t in METADATA[0]
                                                for name, value in drin.encoders[t].state_dict().items()})
    assert not torch.allclose(model(batch), before)
    torch.testing.assert_close(model(batch), drin(**forward_args(batch)))


def test_metadata_without_names_of_the_vocabulary():
    batch = HeteroData()
    batch['user'].x, batch['item'].x, batch['tag'].x = randn(2, 3), randn(3, 4), randn(2, 5)
    edges = {('user', 'rates', 'item'): [[0, 0, 1], [0, 1, 2]], ('item', 'has', 'tag'): [[0, 2], [1, 0]]}
    for edge_type, ends in edges.items():
        batch[edge_type].edge_index = torch.tensor(ends)
        batch[edge_type].edge_weight = randn(len(ends[0]))
    rates = ('user', 'rates', 'item')
    batch[rates].pair, batch.mention = torch.arange(3), torch.tensor([0, 0, 1])
    model = HeteroDRIN(batch.metadata(), 8, read_edge_types=[rates])
    assert model(batch).shape == (3, )
    assert (model.relation_scale.tolist(), model.cosine_scale.tolist()) == ([1.0], [0.0])


def test_saves_and_loads(world, tmp_path):
    batch = all_batch(world)
    model = HeteroDRIN(METADATA_ALL, 8, 2, shared=False, read_edge_types=[TEXT_NAME, TEXT_TEXT])
    model(batch)
    draw(model).save_pretrained(tmp_path)
    loaded = HeteroDRIN.from_pretrained(tmp_path)
    assert loaded.config() == model.config()
    assert loaded.in_channels[MENTION_SURFACE] == WIDTHS[MENTION_TEXT]
    assert loaded(batch).equal(model(batch))
    with pytest.raises(ValueError, match="saved as 'HeteroDRIN'"):
        DRIN.from_pretrained(tmp_path)


@pytest.mark.parametrize(('arguments', 'message'), [
    ({'metadata': ([MENTION_TEXT], [TEXT_TEXT])}, "joins node type 'entity_text', which the metadata does not list"),
    ({'metadata': METADATA, 'read_edge_types': [TEXT_NAME]}, "'read_edge_types' names .*'text_name'.* not among"),
    ({'metadata': METADATA, 'read_edge_types': [TEXT_TEXT], 'comparable': [IMAGE_IMAGE]}, "'comparable' names .*image"),
    ({'metadata': METADATA, 'silent': [TEXT_NAME]}, "'silent' names .*'text_name'.* not among"),
    ({'metadata': ([ENTITY_TEXT], [SIMILAR])}, 'but the metadata has none; name some'),
    ({'metadata': METADATA, 'read_edge_types': []}, 'but the metadata has none; name some'),
    ({'metadata': METADATA, 'num_layers': -1}, "'num_layers' must not be negative, got -1"),
    ({'metadata': METADATA, 'in_channels': {MENTION_TEXT: 4}}, "'in_channels' lacks node type 'mention_image'"),
    ({'metadata': METADATA, 'in_channels': 0}, "'in_channels' of 'mention_text' must be at least 1, or -1"),
])
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        HeteroDRIN(**arguments)


def test_what_a_batch_lacks_is_named(world):
    plain = candidate_batch(world.tables, world.candidates)
    with pytest.raises(ValueError, match=r"'text_text'.* does not say to which pair .* drin_pyg.graph.PairEdges"):
        HeteroDRIN(METADATA)(plain)
    with pytest.raises(KeyError, match=r"lacks edge type .*'surface_text'"):
        HeteroDRIN(METADATA_ALL)(PairEdges()(plain))
    for metadata in ((METADATA_ALL[0], [*EDGE_TYPES, SIMILAR]), ([*METADATA[0], 'other'], [
            *EDGE_TYPES, ('other', 'sends', ENTITY_TEXT)])):
        with pytest.raises(KeyError, match=r"'similar'|'other'"):
            HeteroDRIN(metadata, read_edge_types=EDGE_TYPES)(PairEdges()(plain))


def extra_tables():
    """Surfaces that are the sentences, names that are the descriptions, with another mean."""
    tables, candidates, split = make_tables()
    return tables, candidates, split, {MENTION_SURFACE: tables.x[MENTION_TEXT] + 1.5,
                                       ENTITY_NAME: tables.x[ENTITY_TEXT] - 0.5}


def test_start_extra_takes_over_the_projection_of_the_kind():
    tables, candidates, split, extra = extra_tables()
    model = warm_start(HeteroDRIN(METADATA_ALL, 8), tables, candidates, split['train'])
    assert start_extra(model, extra) is model
    for node_type, kind in ((MENTION_SURFACE, MENTION_TEXT), (ENTITY_NAME, ENTITY_TEXT)):
        projected = model.encoders[node_type](extra[node_type])
        x = tables.x[kind]
        torch.testing.assert_close(projected, (x - x.mean(0)) @ model.encoders[kind].weight.t(), rtol=0, atol=1e-5)
        assert projected.abs().mean() > 0.1


def test_start_extra_errors():
    tables, candidates, split, extra = extra_tables()
    model = warm_start(HeteroDRIN(METADATA_ALL, 8), tables, candidates, split['train'])
    with pytest.raises(ValueError, match="'mention_text' cannot start like another type"):
        start_extra(model, {MENTION_TEXT: extra[MENTION_SURFACE]})
    with pytest.raises(ValueError, match=r"'entity_name' cannot start .* but has mention_text, "):
        start_extra(HeteroDRIN(METADATA, 8), {ENTITY_NAME: extra[ENTITY_NAME]})
    with pytest.raises(ValueError, match=r"'entity_name' .9 wide.* cannot start like 'entity_text' .6 wide"):
        start_extra(model, {ENTITY_NAME: torch.zeros(2, 9)})
    with pytest.raises(ValueError, match='call `warm_start` first'):
        start_extra(HeteroDRIN(METADATA_ALL, 8), extra)


def val_mrr(model, data):
    return evaluate_scores(predict(model, data, 'val'), data.candidates.select(data.split['val'])).mrr


@both_contexts
def test_learns(tmp_path, context):
    tables, candidates, split, extra = extra_tables()
    steps = [PairEdges(), SplitMention(extra[MENTION_SURFACE]), SplitEntity(extra[ENTITY_NAME])]
    metadata = METADATA_ALL
    if context == 'mention':
        steps.append(LinkCandidates(2))
    else:
        metadata = (metadata[0], [e for e in metadata[1] if e != SIMILAR])
    data = CandidateDataModule(tables, candidates, split, max_pairs=40, context=context, transform=Compose(steps))
    torch.manual_seed(0)
    model = HeteroDRIN(metadata, 8)
    before = val_mrr(model, data)
    result = fit(model, data, tmp_path, lr=0.02, max_epochs=12, patience=50, progress=False, accelerator='cpu')
    assert result.best_val_mrr == pytest.approx(val_mrr(result.model, data))
    assert result.best_val_mrr > before + 0.2
    loaded = HeteroDRIN.from_pretrained(tmp_path / 'model')
    assert predict(loaded, data).equal(predict(result.model, data))

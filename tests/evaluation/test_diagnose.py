"""Passes over a model against slower ways to the same numbers, and the whole diagnosis."""

import json
from itertools import pairwise

import pytest
import torch

from drin_pyg.evaluation import evaluate_scores
from drin_pyg.evaluation.diagnose import diagnose
from drin_pyg.evaluation.diagnose_figures import FORMATS, weights_figure, write_diagnosis
from drin_pyg.evaluation.diagnose_format import format_diagnosis
from drin_pyg.evaluation.diagnose_pass import (
    depths,
    intervened_scores,
    interventions,
    score_terms,
    total,
    without_update,
)
from drin_pyg.graph import candidate_batch, forward_args
from drin_pyg.nn import DRIN
from drin_pyg.training import CandidateDataModule, load_run, predict
from drin_pyg.vocabulary import EDGE_TYPES, TEXT_TEXT
from tests.world import WIDTHS

MODELS = {
    'best': {'num_layers': 2},
    'doubting': {'num_layers': 1, 'doubt_images': True},
    'own parameters': {'num_layers': 1, 'shared': False},
    'vector': {'num_layers': 2, 'vector_edges': True},
    'static': {'num_layers': 2, 'dynamic': False},
    'no layer': {'num_layers': 0},
    'no picture': {'num_layers': 1, 'edge_types': EDGE_TYPES[:1]},
    'three relations': {'num_layers': 1, 'edge_types': EDGE_TYPES[1:]},
    'published': {'num_layers': 2, 'read_relations': False, 'residual': False},
    'published, one layer': {'num_layers': 1, 'read_relations': False, 'residual': False},
}

each_model = pytest.mark.parametrize('options', MODELS.values(), ids=MODELS)
each_context = pytest.mark.parametrize('context', ['pair', 'mention'])


def make(options, width=4):
    torch.manual_seed(0)
    model = DRIN(WIDTHS, width, **options).double()
    with torch.no_grad():  # nothing may be at a start that hides it
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return model.eval()


def batch_of(world, context):
    batch = candidate_batch(world.tables, world.candidates, context=context, compact=True)
    for store in (*batch.node_stores, *batch.edge_stores):
        for key in ('x', 'edge_weight'):
            if key in store:
                store[key] = store[key].double()
    return batch


@each_context
@each_model
def test_terms_add_up_to_the_score(world, options, context):
    model, batch = make(options), batch_of(world, context)
    with torch.no_grad():
        *_, last = depths(model, batch)
        torch.testing.assert_close(total(model, score_terms(model, batch, last)), model(**forward_args(batch)))


@each_context
def test_switched_off_equals_a_model_without_the_relation(world, context):
    model, batch = make({'num_layers': 2}), batch_of(world, context)
    tried = {(i.name, i.relation): i for i in interventions(model, {e: [torch.zeros(())] * 3 for e in EDGE_TYPES})}
    for r, edge_type in enumerate(EDGE_TYPES):
        rest = [e for e in EDGE_TYPES if e != edge_type]
        other = DRIN(WIDTHS, 4, 2, rest).double().eval()
        kept = [i for i in range(4) if i != r]
        state = {name: value[kept] if name in ('relation_scale', 'cosine_scale') else value
                 for name, value in model.state_dict().items()}
        other.load_state_dict(state)
        with torch.no_grad():
            torch.testing.assert_close(intervened_scores(model, batch, tried['without', edge_type[1]]),
                                       other(**forward_args(batch)))


@each_context
@pytest.mark.parametrize('options', [{'num_layers': 1}, {'num_layers': 2, 'dynamic': False}, {'num_layers': 0},
                                     {'num_layers': 1, 'vector_edges': True}], ids=str)
def test_strength_multiplies_what_enters_and_what_is_read(world, options, context):
    model, batch = make(options), batch_of(world, context)
    strength = {TEXT_TEXT: 0.3, EDGE_TYPES[2]: 1.4}
    with torch.no_grad():
        *_, last = depths(model, batch, strength=strength)
        found = total(model, score_terms(model, batch, last, strength))
        # By hand: other first weights, and other scales of the score. What static layers hand on is multiplied already.
        for edge_type, factor in strength.items():
            batch[edge_type].edge_weight = factor * batch[edge_type].edge_weight
            model.cosine_scale[EDGE_TYPES.index(edge_type)] *= factor
            if model.dynamic and model.num_layers:
                model.relation_scale[EDGE_TYPES.index(edge_type)] *= factor
        torch.testing.assert_close(found, model(**forward_args(batch)))


@each_context
@each_model
def test_strength_of_one_changes_nothing(world, options, context):
    model, batch = make(options), batch_of(world, context)
    strength = dict.fromkeys(EDGE_TYPES, 1.0)
    with torch.no_grad():
        *_, last = depths(model, batch, strength=strength)
        torch.testing.assert_close(total(model, score_terms(model, batch, last, strength)),
                                   model(**forward_args(batch)))


@each_context
def test_alone_equals_a_model_of_one_relation(world, context):
    model, batch = make({'num_layers': 1}), batch_of(world, context)
    tried = {(i.name, i.relation): i for i in interventions(model, {e: [torch.zeros(())] * 2 for e in EDGE_TYPES})}
    other = DRIN(WIDTHS, 4, 1, [TEXT_TEXT]).double().eval()
    state = {name: value[:1] if name in ('relation_scale', 'cosine_scale') else value
             for name, value in model.state_dict().items() if name in other.state_dict()}
    other.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(intervened_scores(model, batch, tried['alone', TEXT_TEXT[1]]),
                                   other(**forward_args(batch)))


def test_without_update_squashes_alone(world):
    model, batch = make({'num_layers': 2}), batch_of(world, 'pair')
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second, third = [at.weights for at in depths(without_update(model), batch)]
    for edge_type in EDGE_TYPES:
        torch.testing.assert_close(second[edge_type], torch.sigmoid(first[edge_type]))
        torch.testing.assert_close(third[edge_type], torch.sigmoid(second[edge_type]))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize('vector', [False, True])
def test_mean_weight_is_that_of_all_pairs_at_every_depth(world, vector):
    model = make({'num_layers': 1, 'vector_edges': vector})
    batch = batch_of(world, 'pair')
    with torch.no_grad():
        means = {e: [at.weights[e].mean(0) for at in depths(model, batch)] for e in EDGE_TYPES}
        *_, fixed = depths(model, batch, {TEXT_TEXT: means[TEXT_TEXT]})
        # By hand: the mean enters the layer, and the mean of what left the whole model is read.
        weights = {e: w.unsqueeze(-1).expand(-1, 4) if vector else w for e, w in batch.edge_weight_dict.items()}
        weights[TEXT_TEXT] = weights[TEXT_TEXT].mean(0).expand_as(weights[TEXT_TEXT])
        args = forward_args(batch)
        x_dict = {t: encoder(batch[t].x)[args['row_dict'][t]] for t, encoder in model.encoders.items()}
        x_dict, weights = model.convs[0](x_dict, batch.edge_index_dict, weights)
    for node_type, x in x_dict.items():
        torch.testing.assert_close(fixed.x_dict[node_type], x)
    torch.testing.assert_close(fixed.weights[TEXT_TEXT], means[TEXT_TEXT][1].expand_as(weights[TEXT_TEXT]))
    torch.testing.assert_close(fixed.weights[EDGE_TYPES[1]], weights[EDGE_TYPES[1]])


@each_context
@each_model
def test_diagnosis_of_any_model(world, options, context, tmp_path):
    model = make(options).float()
    found = diagnose(model, world.tables, world.candidates, context=context)
    with torch.no_grad():
        scores = model(**forward_args(candidate_batch(world.tables, world.candidates, context=context)))
    expected = evaluate_scores(scores, world.candidates).hits[1]
    assert found.accuracy == pytest.approx(expected)
    assert found.readings[-1].accuracy == pytest.approx(expected)
    assert len(found.readings) == model.num_layers + 1
    assert [f.name for f in found.findings] == ['static_edges', 'over_smoothing', 'text_only', 'dead_relation',
                                                'saturated', 'gold_blind']
    assert {w.relation for w in found.weights} == {e[1] for e in model.edge_types}
    assert sum(s.share for s in found.shares) == pytest.approx(1, abs=1e-4)
    for ablation in found.ablations:
        assert ablation.drop == pytest.approx(found.accuracy - ablation.accuracy)
    json.dumps(found.to_dict(), allow_nan=False)
    assert 'Findings' in format_diagnosis(found)


def test_weights_that_no_score_reads_leave_their_panel_empty(world):
    found = diagnose(make(MODELS['published']).float(), world.tables, world.candidates)
    *texts, last = [axes.texts[0].get_text() for axes in weights_figure(found).axes]
    assert last == 'not computed'  # image-image, as it leaves layer 1: the second one reads it no more
    assert len(texts) == len(found.weights) == 7
    assert all(text.startswith('AUC ') for text in texts)


def test_shares_equal_loops(world):
    model = make({'num_layers': 1}).float()
    found = diagnose(model, world.tables, world.candidates)
    batch = candidate_batch(world.tables, world.candidates)
    with torch.no_grad():
        *_, last = depths(model, batch)
        terms = score_terms(model, batch, last)
    ptr, score = world.candidates.ptr.tolist(), total(model, terms).double().numpy()
    named = {(edge_type[1], part): term.double().numpy() for (edge_type, part), term in terms.items()}
    for share in found.shares:
        term = named[share.relation, share.part]
        both = own = 0.0
        for start, end in pairwise(ptr):
            s, t = score[start:end], term[start:end]
            both += sum((t - t.mean()) * (s - s.mean())) if end > start else 0.0
            own += sum((s - s.mean())**2) if end > start else 0.0
        assert share.share == pytest.approx(both / own, abs=1e-5)


def test_batches_do_not_matter(world):
    model = make({'num_layers': 2}).float()
    one, many = (diagnose(model, world.tables, world.candidates, max_pairs=n).to_dict() for n in (100, 3))

    def compare(a, b):
        if isinstance(a, dict):
            assert a.keys() == b.keys()
            [compare(a[key], b[key]) for key in a]
        elif isinstance(a, list):
            assert len(a) == len(b)
            [compare(*pair) for pair in zip(a, b, strict=True)]
        elif isinstance(a, float):
            assert a == pytest.approx(b, abs=1e-4)
        elif not isinstance(a, str):
            assert a == b

    for key in ('accuracy', 'vertices', 'readings', 'shares', 'ablations', 'updates'):
        compare(one[key], many[key])


def test_a_trained_run(run_folder, emoji_data, tmp_path):
    recipe, model, _ = load_run(run_folder)
    some = emoji_data.split['test'][:60]
    found = diagnose(model, emoji_data.tables, emoji_data.candidates, some, context=recipe.context)
    module = CandidateDataModule(emoji_data.tables, emoji_data.candidates, {'test': some})
    metrics = evaluate_scores(predict(model, module), emoji_data.candidates.select(some))
    assert found.accuracy == pytest.approx(metrics.hits[1])
    assert all(w.auc > 0.6 for w in found.weights)  # the first weights are similarities
    static = next(a for a in found.ablations if a.name == 'static update')
    assert abs(static.drop) < 0.2
    paths = write_diagnosis(found, tmp_path / 'out')
    assert len(paths) == 1 + 4 * len(FORMATS)
    assert json.loads(paths[0].read_text())['accuracy'] == found.accuracy
    heads = {'.pdf': b'%PDF', '.svg': b'<?xml', '.png': b'\x89PNG', '.json': b'{'}
    assert all(path.read_bytes().startswith(heads[path.suffix]) for path in paths)
    first = {path.name: path.read_bytes() for path in paths}
    write_diagnosis(found, tmp_path / 'out')
    assert {path.name: path.read_bytes() for path in paths} == first


def test_mistakes(world):
    with pytest.raises(ValueError, match='need a DRIN'):
        diagnose(torch.nn.Linear(2, 2), world.tables, world.candidates)
    with pytest.raises(ValueError, match='None of the 2 mentions'):
        diagnose(make({}).float(), world.tables, world.candidates, torch.tensor([1, 2]))

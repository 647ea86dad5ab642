"""Explanations of a mention: what adds up, what is nobody's, and what the user gets to read."""

import json

import pytest
import torch

from drin_pyg.evaluation.explain import explain_mention
from drin_pyg.evaluation.explain_format import format_explanation
from drin_pyg.graph import candidate_batch, forward_args
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import EDGE_TYPES, TEXT_TEXT
from tests.evaluation.test_diagnose import make
from tests.test_cli import run

each_context = pytest.mark.parametrize('context', ['pair', 'mention'])
each_model = pytest.mark.parametrize('options', [
    {'num_layers': 2}, {'num_layers': 0}, {'num_layers': 1, 'dynamic': False}, {'num_layers': 1, 'vector_edges': True},
    {'num_layers': 1, 'edge_types': EDGE_TYPES[:1]},
    {'num_layers': 1, 'read_relations': False, 'residual': False},
    {'num_layers': 2, 'read_relations': False, 'residual': False},
], ids=str)


def parts_of(item):
    return [value for parts in (item.edges, item.other_edges, item.vertices, item.other_vertices)
            for value in parts.values()]


@each_context
@each_model
def test_integrated_gradients_add_up(world, options, context):
    pytest.importorskip('captum')
    model = make(options).float()
    with torch.no_grad():
        batch = candidate_batch(world.tables, world.candidates, torch.tensor([3]), context=context)
        scores = model(**forward_args(batch))
    # Mention 3 has three images, and seven candidates with 0 to 3 of them.
    # Without updates, a cosine of this model turns sharply near the empty graph, and the integral needs more points.
    entities, steps = ([6, 3], 40) if model.dynamic else ([6], 200)
    found = explain_mention(model, world.tables, world.candidates, 3, entities, context=context, steps=steps)
    for item in found:
        assert item.score == pytest.approx(float(scores[batch.entity == item.entity]), abs=1e-5)
        terms = sum(value for parts in item.terms.values() for value in parts.values())
        assert terms == pytest.approx(item.score, abs=1e-4)
        assert sum(parts_of(item)) == pytest.approx(item.score - item.base, rel=0.05, abs=0.05)
        assert item.left_over == pytest.approx(item.score - item.base - sum(parts_of(item)))
        assert bool(item.other_edges) == (context == 'mention')


@each_context
def test_in_graphs_of_their_own_other_candidates_do_not_matter(world, context):
    pytest.importorskip('captum')
    model = make({'num_layers': 1}).float()
    found, = explain_mention(model, world.tables, world.candidates, 3, [2], context=context, steps=10)
    others = [mask[i] for mask in found.details['edge_mask'].values() for i in range(mask.numel())]
    own = sum(abs(value) > 0 for value in others)
    batch = candidate_batch(world.tables, world.candidates, torch.tensor([3]), context=context)
    edges_of_two = {e: int((batch[e].edge_index[1] == 4).sum()) for e in EDGE_TYPES[::2]}  # entity 2 is the fifth pair
    assert own >= sum(edges_of_two.values())
    assert (own < len(others)) == (context == 'pair')


@each_model
def test_gnn_explainer_explains_any_model(world, options):
    model = make(options).float()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = explain_mention(model, world.tables, world.candidates, 0, algorithm='gnn', steps=3)
    assert [item.is_gold for item in found].count(True) == 1
    assert all(0 <= value <= 1 for item in found for value in parts_of(item))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.no_grad():  # no mask was left behind
        again = explain_mention(model, world.tables, world.candidates, 0, algorithm='gnn', steps=3)
    assert [item.to_dict() for item in again] == [item.to_dict() for item in found]


def test_gnn_explainer_prefers_what_the_score_reads(single_world):
    # Texts alone are read, and by their weight: only the edge between them is needed.
    model = make({'num_layers': 0}).float()
    with torch.no_grad():
        model.cosine_scale.zero_()
        model.relation_scale.zero_()
        model.relation_scale[0] = 5
    weight = {e: single_world.candidates.weight[e].abs() + 1 for e in single_world.candidates.weight}
    single_world.candidates.weight.update(weight)
    found = explain_mention(model, single_world.tables, single_world.candidates, 0, algorithm='gnn', steps=100)[0]
    assert found.edges[TEXT_TEXT[1]] > 0.8
    assert all(value < 0.5 for name, value in found.edges.items() if name != TEXT_TEXT[1])


def test_the_best_and_its_rival(world):
    model = make({'num_layers': 1}).float()
    with torch.no_grad():
        for m in (0, 3, 4):
            batch = candidate_batch(world.tables, world.candidates, torch.tensor([m]))
            scores = model(**forward_args(batch))
            first, rival = explain_mention(model, world.tables, world.candidates, m, algorithm='gnn', steps=1)
            assert first.score == pytest.approx(float(scores.max()), abs=1e-5)
            wrong = scores[batch.entity != first.entity]
            if first.is_gold or not bool(batch.y.any()):
                assert rival.score == pytest.approx(float(wrong.max()), abs=1e-5)
            else:
                assert rival.is_gold


def test_a_list_of_one(world):
    model = make({'num_layers': 1}).float()
    found = explain_mention(model, world.tables, world.candidates, 2, algorithm='gnn', steps=1)
    assert [item.entity for item in found] == [3]
    assert 'A - B' not in format_explanation(found, ['x'], 'gnn')


def test_mistakes(world):
    model = DRIN(-1, 4)
    with pytest.raises(ValueError, match='has no candidates'):
        explain_mention(model, world.tables, world.candidates, 1, algorithm='gnn')
    with pytest.raises(ValueError, match='Entity 7 is no candidate of mention 0'):
        explain_mention(make({}).float(), world.tables, world.candidates, 0, [7], algorithm='gnn')
    with pytest.raises(ValueError, match="'captum' or 'gnn'"):
        explain_mention(model, world.tables, world.candidates, 0, algorithm='x')


def test_captum_is_named_where_it_is_missing(world, monkeypatch):
    monkeypatch.setattr('drin_pyg.evaluation.explain.find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r'drin_pyg\[explain\]'):
        explain_mention(make({}).float(), world.tables, world.candidates, 0)


def test_commands(run_folder, emoji_data, tmp_path, monkeypatch):
    monkeypatch.setattr('drin_pyg.evaluation.diagnose.paired_test', lambda a, b, seed: 1.0)  # takes the longest
    mention = emoji_data.mentions[int(emoji_data.split['test'][0])]
    result = run('explain', run_folder, '--mention', mention.id, '--algorithm', 'gnn', '-q')
    assert result.returncode == 0, result.stderr
    assert mention.surface in result.stdout
    assert 'A - B' in result.stdout
    result = run('explain', run_folder, '--mention', mention.id, '--algorithm', 'gnn', '--candidate', mention.answer,
                 '--json', '-q')
    only, = json.loads(result.stdout)['candidates']
    assert (only['entity'], only['is_gold']) == (mention.answer, True)
    result = run('explain', run_folder, '--mention', mention.id, '--candidate', 'nothing', '-q')
    assert (result.returncode, "no entity 'nothing'" in result.stderr) == (2, True)

    result = run('diagnose', run_folder, '--split', 'val', '--out', tmp_path / 'out', '--json', '-q')
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == json.loads((tmp_path / 'out' / 'diagnosis.json').read_text())
    assert (tmp_path / 'out' / 'ablations.pdf').is_file()

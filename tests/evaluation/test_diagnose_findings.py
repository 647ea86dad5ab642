"""Every finding is provoked by a model that is built to have it, and absent from a healthy one."""

from dataclasses import replace

import pytest
import torch

from drin_pyg.evaluation.diagnose import diagnose
from drin_pyg.evaluation.diagnose_figures import variance_figure, weights_figure
from drin_pyg.features import Candidates, PairTables
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE, MENTION_TEXT, NODE_TYPES

D, M, N, K = 8, 200, 60, 10


@pytest.fixture(scope='module')
def problem():
    """All four vertices of a right pair point roughly the same way, each with a noise of its own."""
    generator = torch.Generator().manual_seed(0)

    def randn(*size):
        return torch.randn(*size, generator=generator)

    entity, gold = randn(N, D), torch.randint(0, N, (M, ), generator=generator)
    x = {MENTION_TEXT: entity[gold] + 0.8 * randn(M, D), MENTION_IMAGE: entity[gold] + 0.8 * randn(M, D),
         ENTITY_TEXT: entity + 0.5 * randn(N, D), ENTITY_IMAGE: entity + 0.5 * randn(N, D)}
    weight = {e: (0.3 * x[e[0]] / D**0.5 + 0.2 * randn(M, D), x[e[2]] / D**0.5) for e in EDGE_TYPES}
    lists = []
    for answer in gold.tolist():
        wrong = [e for e in torch.randperm(N, generator=generator).tolist() if e != answer][:K - 1]
        lists.append([*wrong, answer])
    return PairTables(x, weight, {}), Candidates.from_lists(lists, gold.tolist())


def healthy():
    """Its score reads the weights alone; the update adds the product of the two ends to each."""
    model = DRIN(dict.fromkeys(NODE_TYPES, D), D, 1)
    with torch.no_grad():
        for encoder in model.encoders.values():
            encoder.weight.copy_(torch.eye(D))
            encoder.bias.zero_()
        rule = model.convs[0].edge_rules['shared']
        for lin in (rule.lin_u, rule.lin_v):
            lin.weight.copy_(torch.eye(D))
            lin.bias.zero_()
        model.cosine_scale.zero_()
    return model.eval()


def verdicts(model, problem, monkeypatch):
    # No verdict rests on the p-values, which take the longest.
    monkeypatch.setattr('drin_pyg.evaluation.diagnose.paired_test', lambda a, b, seed: 1.0)
    found = diagnose(model, *problem)
    return {f.name: f for f in found.findings}, found


def static(model):
    torch.nn.init.zeros_(model.convs[0].edge_rules['shared'].lin_v.weight)


def flat(model):
    static(model)
    model.convs[0].edge_rules['shared'].lin_v.weight.fill_(0)
    model.convs[0].edge_rules['shared'].lin_v.bias.fill_(1)
    model.convs[0].edge_rules['shared'].lin_u.weight.fill_(0)
    model.convs[0].edge_rules['shared'].lin_u.bias.fill_(8)


def alike(model):
    for encoder in model.encoders.values():
        encoder.weight.zero_()
        encoder.bias.fill_(1)


def few_directions(model):
    # To each vertex, the layer adds one of two vectors, by the sign of its first number; the order of pairs stays.
    static(model)
    conv = model.convs[0]
    conv.lins['shared'].weight.zero_()
    conv.lins['shared'].weight[:, 0] = torch.tensor([1., -1.]).repeat(D // 2)
    conv.lins['shared'].bias.zero_()
    conv.scales['shared'].fill_(100)


def text_alone(model):
    model.relation_scale[1:] = 0


def one_unread(model):
    model.relation_scale[2] = 0


def steep(model):
    model.convs[0].edge_rules['shared'].lin_u.weight.mul_(1000)


def reversed_order(model):
    model.convs[0].edge_rules['shared'].lin_u.weight.mul_(-3)


def test_a_healthy_model_has_none(problem, monkeypatch):
    findings, found = verdicts(healthy(), problem, monkeypatch)
    assert {name: f.verdict for name, f in findings.items()} == dict.fromkeys(findings, 'ok')
    assert found.accuracy > 0.5


@pytest.mark.parametrize(('spoil', 'name', 'words'), [
    (static, 'static_edges', 'next to nothing'),
    (flat, 'static_edges', 'hardly vary'),
    (alike, 'over_smoothing', 'alike'),
    (few_directions, 'over_smoothing', 'half of the effective rank or more'),
    (text_alone, 'text_only', 'as good as'),
    (one_unread, 'dead_relation', EDGE_TYPES[2][1]),
    (steep, 'saturated', 'near 0 or 1'),
    (reversed_order, 'gold_blind', EDGE_TYPES[0][1]),
])
def test_a_spoilt_model_has_it(problem, monkeypatch, spoil, name, words):
    model = healthy()
    with torch.no_grad():
        spoil(model)
    findings, _ = verdicts(model, problem, monkeypatch)
    assert findings[name].verdict == 'warning'
    assert words in findings[name].text


def test_only_the_relation_that_is_dead_is_named(problem, monkeypatch):
    model = healthy()
    with torch.no_grad():
        one_unread(model)
    text = verdicts(model, problem, monkeypatch)[0]['dead_relation'].text
    assert all((e[1] in text) == (e == EDGE_TYPES[2]) for e in EDGE_TYPES)


def test_ranks_that_shrink(problem, monkeypatch):
    # The layer adds to each vertex something that they all share, of a size that drowns what they do not.
    model = healthy()
    conv = model.convs[0]
    with torch.no_grad():
        conv.lins['shared'].weight.zero_()
        conv.lins['shared'].bias.copy_(torch.linspace(-1, 1, D))
        conv.scales['shared'].fill_(100)
    findings, found = verdicts(model, problem, monkeypatch)
    assert findings['over_smoothing'].verdict == 'warning'
    last = [v for v in found.vertices if v.depth == 1]
    assert all(v.cosine > 0.9 for v in last)


@pytest.mark.parametrize(('options', 'names'), [
    ({'num_layers': 0}, {'static_edges', 'over_smoothing', 'saturated'}),
    ({'dynamic': False}, {'static_edges', 'saturated'}),
    ({'edge_types': EDGE_TYPES[:1]}, {'text_only'}),
    ({'read_relations': False, 'residual': False}, {'static_edges', 'saturated'}),
])
def test_what_does_not_apply(problem, monkeypatch, options, names):
    torch.manual_seed(0)
    findings, _ = verdicts(DRIN(dict.fromkeys(NODE_TYPES, D), D, **{'num_layers': 1, **options}), problem, monkeypatch)
    assert {name for name, f in findings.items() if f.verdict == 'not applicable'} == names


@pytest.fixture
def without_pictures(problem):
    tables, candidates = problem
    x = {t: x if t in (MENTION_TEXT, ENTITY_TEXT) else x[:0] for t, x in tables.x.items()}
    weight = {e: tuple(w[:x[t].size(0)] for w, t in zip(pair, (e[0], e[2]), strict=True))
              for e, pair in tables.weight.items()}
    ptr = {MENTION_IMAGE: torch.zeros(M + 1, dtype=torch.long), ENTITY_IMAGE: torch.zeros(N + 1, dtype=torch.long)}
    return replace(tables, x=x, weight=weight, ptr=ptr), candidates


def test_data_without_pictures(without_pictures, monkeypatch):
    findings, found = verdicts(healthy(), without_pictures, monkeypatch)
    assert findings['text_only'].verdict == 'not applicable'
    assert {w.relation for w in found.weights} == {EDGE_TYPES[0][1]}
    assert {v.node_type for v in found.vertices} == {MENTION_TEXT, ENTITY_TEXT}


def test_a_model_of_pictures_on_data_without_any(without_pictures, monkeypatch):
    model = DRIN(dict.fromkeys(NODE_TYPES, D), D, 1, EDGE_TYPES[1:]).eval()
    findings, found = verdicts(model, without_pictures, monkeypatch)
    assert {name: f.verdict for name, f in findings.items() if name != 'over_smoothing'} \
        == dict.fromkeys(findings.keys() - {'over_smoothing'}, 'not applicable')
    assert findings['dead_relation'].text == 'No relation has an edge.'
    assert findings['gold_blind'].text == 'No mention has weights of its gold and of another candidate.'
    for figure in (weights_figure(found), variance_figure(found)):
        assert [text.get_text() for axes in figure.axes for text in axes.texts] == ['No relation has an edge.']

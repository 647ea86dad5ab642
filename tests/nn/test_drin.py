import json

import pytest
import torch
from torch_geometric.explain import Explainer, GNNExplainer

from drin_pyg.features import Candidates
from drin_pyg.graph import candidate_batch, forward_args, pair_graph
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import (
    EDGE_TYPES,
    ENTITY_IMAGE,
    ENTITY_TEXT,
    IMAGE_IMAGE,
    IMAGE_TEXT,
    MENTION_IMAGE,
    MENTION_TEXT,
    NODE_TYPES,
    TEXT_IMAGE,
    TEXT_TEXT,
)
from tests.nn import reference
from tests.world import LISTS, NUM_IMAGES, WIDTHS, make_tables

D = 4

OPTIONS = {
    'defaults': {},
    'three layers': {'num_layers': 3},
    'no layer': {'num_layers': 0},
    'static': {'dynamic': False},
    'static, two layers': {'dynamic': False, 'num_layers': 2},
    'vector edges': {'vector_edges': True, 'num_layers': 2},
    'vector edges, no layer': {'vector_edges': True, 'num_layers': 0},
    'vector edges, static': {'vector_edges': True, 'dynamic': False},
    'shared': {'shared': True, 'num_layers': 2},
    'not residual': {'residual': False, 'num_layers': 2},
    'text cosine': {'read_relations': False, 'num_layers': 2},
    'text cosine, static, three layers': {'read_relations': False, 'dynamic': False, 'num_layers': 3},
    'text cosine, no layer': {'read_relations': False, 'num_layers': 0},
    'text cosine, no relation': {'read_relations': False, 'edge_types': [], 'num_layers': 2},
    **{f'without {t[1]}': {'edge_types': [e for e in EDGE_TYPES if e != t], 'num_layers': 2} for t in EDGE_TYPES},
    **{f'only {t[1]}': {'edge_types': [t], 'num_layers': 2} for t in EDGE_TYPES},
    'doubting images': {'doubt_images': True},
    'other scales': {'cosine_scales': (1.0, 2.0)},
    'doubting images, one relation': {'doubt_images': True, 'edge_types': EDGE_TYPES[:3], 'num_layers': 0},
    'relations in another order': {'edge_types': EDGE_TYPES[::-1]},
}
PUBLISHED = {
    'published': {},
    'published, one layer': {'num_layers': 1},
    'published, three layers': {'num_layers': 3},
    'published, static': {'dynamic': False},
    'published, vector edges': {'vector_edges': True},
    **{f'published, without {t[1]}': {'edge_types': [e for e in EDGE_TYPES if e != t]} for t in EDGE_TYPES},
    **{f'published, only {t[1]}': {'edge_types': [t]} for t in EDGE_TYPES},
}
CONFIGURATIONS = {**{name: (DRIN, kwargs) for name, kwargs in OPTIONS.items()},
                  **{name: (DRIN.published, kwargs) for name, kwargs in PUBLISHED.items()}}
configurations = pytest.mark.parametrize(('build', 'kwargs'), CONFIGURATIONS.values(), ids=CONFIGURATIONS)
contexts = pytest.mark.parametrize('context', ['pair', 'mention'])


def make(build=DRIN, in_channels=WIDTHS, **kwargs):
    """A float64 model with no parameter left at its initial value."""
    torch.manual_seed(0)
    model = build(in_channels, D, **kwargs).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def args_of(world, context='pair', compact=False, candidates=None):
    """float64 arguments of `forward`; small weights, so that no sigmoid is flat."""
    batch = candidate_batch(world.tables, candidates or world.candidates, context=context, compact=compact)
    args = forward_args(batch)
    args['x_dict'] = {t: x.double() for t, x in args['x_dict'].items()}
    args['edge_weight_dict'] = {e: 0.3 * w.double() for e, w in args['edge_weight_dict'].items()}
    return args


def expected_of(model, args):
    return reference.drin(model, args['x_dict'], args['edge_index_dict'], args['edge_weight_dict'], args['num_images'])


def gradients(scores, inputs):
    generator = torch.Generator().manual_seed(3)
    loss = (scores * torch.randn(scores.shape, dtype=torch.float64, generator=generator)).sum()
    return torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)


def close(actual, expected, atol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


# ---- where it starts

def test_the_score_starts_by_reading_cosines_of_one_modality():
    scale = dict(zip(EDGE_TYPES, DRIN(WIDTHS, D, cosine_scales=(1.0, 2.0)).cosine_scale.tolist(), strict=True))
    assert scale == {TEXT_TEXT: 1.0, TEXT_IMAGE: 0.0, IMAGE_TEXT: 0.0, IMAGE_IMAGE: 2.0}


# ---- what it computes

@contexts
@configurations
def test_equals_loops(world, build, kwargs, context):
    # The world is ragged: mentions and candidates with no image or several, a mention without candidates.
    model, args = make(build, **kwargs), args_of(world, context)
    scores, trace = model.trace(**args)
    expected, expected_trace = expected_of(model, args)
    assert scores.shape == (world.candidates.num_pairs, )
    close(scores, expected)
    assert [set(weights) for weights in trace] == [set(weights) for weights in expected_trace]
    for weights, want in zip(trace, expected_trace, strict=True):
        for edge_type in want:
            close(weights[edge_type], want[edge_type])
    assert model(**args).equal(scores)


@configurations
def test_gradients_equal_loops(world, build, kwargs):
    model, args = make(build, **kwargs), args_of(world, 'mention')
    inputs = [*model.parameters()]
    for name in ('x_dict', 'edge_weight_dict'):
        inputs += [tensor.requires_grad_() for tensor in args[name].values()]
    grads = gradients(model(**args), inputs)
    expected = gradients(expected_of(model, args)[0], inputs)
    assert any(want.any() for want in expected)
    for grad, want in zip(grads, expected, strict=True):
        close(grad, want)


@contexts
@configurations
def test_compact_batch_equals_expanded_one(world, build, kwargs, context):
    model = make(build, **kwargs)
    compact, expanded = model(**args_of(world, context, compact=True)), model(**args_of(world, context))
    close(compact, expanded)
    inputs = list(model.parameters())
    for grad, want in zip(gradients(compact, inputs), gradients(expanded, inputs), strict=True):
        close(grad, want)


@configurations
def test_every_parameter_is_read(world, build, kwargs):
    # A parameter that no score reads breaks DDP and explainers.
    model = make(build, **kwargs)
    grads = gradients(model(**args_of(world, 'mention')), list(model.parameters()))
    unread = [name for (name, _), grad in zip(model.named_parameters(), grads, strict=True) if not grad.any()]
    assert unread == []


@configurations
def test_every_parameter_has_a_gradient_from_the_start(world, build, kwargs):
    # Residual scales and edge rules that start at zero may pass zeros on, but no parameter may be off the graph.
    torch.manual_seed(0)
    model = build(WIDTHS, D, **kwargs).double()
    model(**args_of(world, 'mention')).sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_layers_beyond_the_first_change_the_score(world):
    args = args_of(world)
    one, two = make(num_layers=1)(**args), make(num_layers=2)(**args)
    assert not torch.allclose(one, two)


def test_published_score_is_a_cosine(world):
    scores = make(DRIN.published)(**args_of(world))
    assert scores.abs().max() <= 1
    assert scores.std() > 0


def test_published_model_has_the_published_parameters():
    model = DRIN.published(WIDTHS)
    assert (model.hidden_channels, model.num_layers) == (768, 2)
    parts = {name.removeprefix('convs.').split('.', 1)[1] for name in model.state_dict() if name.startswith('convs.')}
    assert parts == {f'{part}.{kind}' for kind in ('weight', 'bias') for part in (
        'lins.shared', 'norms.shared', 'edge_rules.shared.lin_u', 'edge_rules.shared.lin_v')}
    assert len(model.state_dict()) == 8 + 8 + 4  # projections; a layer; the last layer, whose edges nobody reads


def test_new_model_scores_by_weights_and_cosines(world):
    # Its layers add nothing at the start and an edge rule begins at sigmoid(e), whose logit is e.
    torch.manual_seed(0)
    model, args = DRIN(WIDTHS, D, num_layers=1).double(), args_of(world)
    plain = DRIN(WIDTHS, D, num_layers=0).double()
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if 'convs' not in name})
    close(model(**args), plain(**args))


# ---- graphs of every shape

@contexts
@pytest.mark.parametrize('build', [DRIN, DRIN.published])
def test_no_candidates_at_all(world, build, context):
    args = args_of(world, context, candidates=Candidates.from_lists([[]] * 6))
    scores = make(build)(**args)
    assert scores.shape == (0, )
    assert scores.dtype == torch.float64


@contexts
@pytest.mark.parametrize('build', [DRIN, DRIN.published])
def test_no_images_at_all(world, build, context):
    tables = make_tables({t: [0] * len(counts) for t, counts in NUM_IMAGES.items()})
    args = args_of(type(world)(tables, world.candidates), context)
    model = make(build)
    scores = model(**args)
    assert scores.isfinite().all()
    close(scores, expected_of(model, args)[0])


@pytest.mark.parametrize('compact', [False, True])
@pytest.mark.parametrize('build', [DRIN, DRIN.published])
def test_in_pair_context_other_candidates_do_not_matter(world, build, compact):
    model = make(build, num_layers=2)
    scores = model(**args_of(world, compact=compact))
    for p in range(world.candidates.num_pairs):
        lists = [[]] * 6
        lists[int(world.candidates.mention[p])] = [int(world.candidates.entity[p])]
        close(model(**args_of(world, compact=compact, candidates=Candidates.from_lists(lists))), scores[p:p + 1])


@pytest.mark.parametrize('build', [DRIN, DRIN.published])
def test_in_mention_context_other_candidates_do_matter(world, build):
    model = make(build, num_layers=2)
    long = model(**args_of(world, 'mention', candidates=Candidates.from_lists([[0, 1, 2], *[[]] * 5])))
    short = model(**args_of(world, 'mention', candidates=Candidates.from_lists([[0, 1], *[[]] * 5])))
    assert not torch.allclose(long[:2], short)


@contexts
@pytest.mark.parametrize('build', [DRIN, DRIN.published])
def test_order_of_candidates_does_not_matter(world, build, context):
    model = make(build, num_layers=2)
    scores = model(**args_of(world, context)).split([len(entities) for entities in LISTS])
    turned = Candidates.from_lists([entities[::-1] for entities in LISTS])
    close(model(**args_of(world, context, candidates=turned)), torch.cat([part.flip(0) for part in scores]))


@pytest.mark.parametrize('build', [DRIN, DRIN.published])
def test_order_of_mentions_does_not_matter(world, build):
    model = make(build)
    order = torch.tensor([4, 0, 5, 3, 1, 2])
    batch = candidate_batch(world.tables, world.candidates, order, context='mention')
    turned = model.float()(**forward_args(batch))
    scores = model(**forward_args(candidate_batch(world.tables, world.candidates, context='mention')))
    torch.testing.assert_close(turned, scores[world.candidates.pairs_of(order)])


def test_one_image_each_needs_no_number_of_images(world):
    tables = make_tables({t: [1] * len(counts) for t, counts in NUM_IMAGES.items()})
    args = args_of(type(world)(tables, world.candidates))
    model = make()
    assert model(**{**args, 'num_images': None}).equal(model(**args))


# ---- lazy sizes

def test_widths_are_inferred(world):
    model = DRIN(hidden_channels=D).double()
    model(**args_of(world))
    assert {t: encoder.in_channels for t, encoder in model.encoders.items()} == WIDTHS
    assert not any(isinstance(p, torch.nn.UninitializedParameter) for p in model.parameters())


def test_one_width_for_all(world):
    model = DRIN(5, D)
    assert [encoder.weight.shape for encoder in model.encoders.values()] == [(D, 5)] * 4


# ---- PyTorch and PyG around it

def test_explains_a_pair_graph(world):
    # Mention 3 has three images and entity 3 two: 2 + 1 + 3 + 6 edges.
    torch.manual_seed(0)
    graph = pair_graph(world.tables, 3, 3)
    model = make(num_layers=2).float()

    class Positional(torch.nn.Module):  # the explainer gives vertices and edges by position, the rest by name
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x_dict, edge_index_dict, edge_weight_dict, num_images):
            return self.model(x_dict, edge_index_dict, edge_weight_dict, num_images=num_images)

    explainer = Explainer(Positional(), GNNExplainer(epochs=5), explanation_type='model', edge_mask_type='object',
                          node_mask_type='attributes',
                          model_config={'mode': 'regression', 'task_level': 'graph', 'return_type': 'raw'})
    explanation = explainer(graph.x_dict, graph.edge_index_dict, edge_weight_dict=graph.edge_weight_dict,
                            num_images=graph[ENTITY_TEXT].num_images)
    masks = explanation.collect('edge_mask')
    assert {edge_type: mask.numel() for edge_type, mask in masks.items()} == dict(
        zip(EDGE_TYPES, (1, 2, 3, 6), strict=True))
    assert all(mask.isfinite().all() for mask in masks.values())
    assert torch.cat(list(masks.values())).any()


def test_compiles_in_one_graph(world):
    model, args = make(num_layers=2), args_of(world, 'mention')
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager')
    close(compiled(**args), model(**args))


# ---- mistakes

def test_unknown_relation():
    with pytest.raises(ValueError, match=r"\('mention_text', 'likes', 'entity_text'\) is no relation.*text_image"):
        DRIN(edge_types=[(MENTION_TEXT, 'likes', ENTITY_TEXT)])


def test_negative_number_of_layers():
    with pytest.raises(ValueError, match="'num_layers' must not be negative, got -1"):
        DRIN(num_layers=-1)


@pytest.mark.parametrize('node_type', NODE_TYPES)
def test_missing_node_type_is_named(world, node_type):
    args = args_of(world)
    del args['x_dict'][node_type]
    with pytest.raises(KeyError, match=f"'x_dict' lacks node type '{node_type}'"):
        make()(**args)


@pytest.mark.parametrize('name', ['edge_index_dict', 'edge_weight_dict'])
@pytest.mark.parametrize('num_layers', [0, 1])
def test_missing_edge_type_is_named(world, name, num_layers):
    args = args_of(world)
    del args[name][TEXT_IMAGE]
    with pytest.raises(KeyError, match='text_image'):
        make(num_layers=num_layers)(**args)


def test_score_that_reads_relations_needs_one():
    with pytest.raises(ValueError, match="reads the relations of 'edge_types', but there is none"):
        DRIN(edge_types=[])


def test_missing_number_of_images(world):
    args = args_of(world)
    args['num_images'] = None
    with pytest.raises(ValueError, match=r"16 candidates have 1[0-9] images: say how many each has with 'num_images'"):
        make()(**args)


# ---- saving

@configurations
def test_saved_model_scores_alike(world, tmp_path, build, kwargs):
    model, args = make(build, **kwargs), args_of(world)
    args = {name: {k: v.float() if v.is_floating_point() else v for k, v in value.items()}
            if isinstance(value, dict) else value for name, value in args.items()}
    model = model.float()
    assert model.save_pretrained(tmp_path / 'deep' / 'model') == tmp_path / 'deep' / 'model'
    read = DRIN.from_pretrained(tmp_path / 'deep' / 'model')
    assert not read.training
    assert read.config() == model.config()
    assert read(**args).equal(model(**args))


def test_saved_model_has_its_inferred_widths(world, tmp_path):
    model, args = DRIN(hidden_channels=D), forward_args(candidate_batch(world.tables, world.candidates))
    scores = model(**args)
    read = DRIN.from_pretrained(model.save_pretrained(tmp_path))
    assert read.config()['in_channels'] == WIDTHS
    assert read(**args).equal(scores)


def test_saved_model_is_two_whole_files(tmp_path):
    make().save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['config.json', 'model.safetensors']
    assert json.loads((tmp_path / 'config.json').read_text())['class'] == 'DRIN'


def test_saving_again_replaces(tmp_path):
    make().save_pretrained(tmp_path)
    make(num_layers=3).save_pretrained(tmp_path)
    assert DRIN.from_pretrained(tmp_path).num_layers == 3


def test_model_without_sizes_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match='uninitialized'):
        DRIN(hidden_channels=D).save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors'])
def test_missing_file_is_named(tmp_path, name):
    make().save_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"'{name}' is missing"):
        DRIN.from_pretrained(tmp_path)


@pytest.mark.parametrize('content', [b'', b'{"class": "DRIN"', b'[]', b'"DRIN"', b'\xff\xfe', b'{"class": "DRIN"}',
                                     b'{"class": "DRIN", "relations": ["no_such"]}', b'{"class": "Other"}'])
def test_unreadable_config(tmp_path, content):
    make().save_pretrained(tmp_path)
    (tmp_path / 'config.json').write_bytes(content)
    with pytest.raises(ValueError, match='holds no DRIN that can be read'):
        DRIN.from_pretrained(tmp_path)


def test_config_with_an_unknown_argument(tmp_path):
    make().save_pretrained(tmp_path)
    config = json.loads((tmp_path / 'config.json').read_text())
    (tmp_path / 'config.json').write_text(json.dumps({**config, 'depth': 3}))
    with pytest.raises(ValueError, match='depth'):
        DRIN.from_pretrained(tmp_path)


def test_cut_off_weights(tmp_path):
    make().save_pretrained(tmp_path)
    path = tmp_path / 'model.safetensors'
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match='holds no DRIN that can be read'):
        DRIN.from_pretrained(tmp_path)


def test_weights_of_another_model(tmp_path):
    make(num_layers=2).save_pretrained(tmp_path / 'two')
    make(num_layers=1).save_pretrained(tmp_path / 'one')
    (tmp_path / 'two' / 'model.safetensors').replace(tmp_path / 'one' / 'model.safetensors')
    with pytest.raises(ValueError, match=r'convs\.1'):
        DRIN.from_pretrained(tmp_path / 'one')


def test_model_of_another_class(tmp_path):
    class Other(DRIN):
        pass

    make(Other).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="it was saved as 'Other'"):
        DRIN.from_pretrained(tmp_path)


def test_without_entity_images_nobody_reads_them(world):
    model = make(edge_types=[TEXT_TEXT])
    assert set(model.encoders.keys()) == {MENTION_TEXT, ENTITY_TEXT}
    args = args_of(world)
    del args['x_dict'][ENTITY_IMAGE], args['x_dict'][MENTION_IMAGE]
    del args['edge_index_dict'][IMAGE_IMAGE], args['edge_weight_dict'][IMAGE_IMAGE]
    assert model(**args).isfinite().all()


def test_a_saved_model_keeps_its_dtype(tmp_path):
    make().double().save_pretrained(tmp_path)
    assert {value.dtype for value in DRIN.from_pretrained(tmp_path).state_dict().values()} == {torch.float64}


@pytest.mark.parametrize('options', [{'edge_types': EDGE_TYPES[:2]}, {'read_relations': False}], ids=str)
def test_images_that_nothing_reads_cannot_be_doubted(options):
    with pytest.raises(ValueError, match='the score reads none'):
        DRIN(WIDTHS, 4, doubt_images=True, **options)


@pytest.mark.parametrize('width', [0, -2])
def test_features_have_a_width(width):
    # PyG leaves the parameters of a Linear without inputs as memory happens to be.
    with pytest.raises(ValueError, match=f"'in_channels' of 'entity_image' must be at least 1, or -1 .* got {width}"):
        DRIN(dict.fromkeys(NODE_TYPES, 3) | {ENTITY_IMAGE: width})
    with pytest.raises(ValueError, match="'in_channels' lacks node type 'entity_image'"):
        DRIN(dict.fromkeys(NODE_TYPES[:3], 3))

"""The published implementation, written anew from its formulas: dense, in float64, with nothing of the package.

Every mention has the same number of candidates, so everything is an array over mentions `n` and candidate columns `c`;
each relation and each vertex has its own line. `write_folder` invents a small data set, computes what the published
implementation would and writes both in its file format.
"""

import json

import numpy as np
import torch

RELATIONS = ['text_text', 'text_image', 'image_text', 'image_image']
TOKENS, ENTITY_TOKENS, REGIONS, OBJECTS = 9, 6, 3, 3
ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8

PROJECTIONS = {
    'mention_text': 'vertex_encoder.mention_text_encoder.final_layer.linear',
    'entity_text': 'vertex_encoder.entity_text_encoder.final_layer',
    'mention_image': 'vertex_encoder.mention_image_linear',
    'entity_image': 'vertex_encoder.entity_image_linear',
}
DEFAULTS = {
    'dataset': 'wikidiverse', 'num_mentions': 6, 'num_candidates': 4, 'text_dim': 5, 'image_dim': 7, 'hidden_dim': 4,
    'num_layers': 2, 'edge_update': 'dynamic', 'edge_feature': 'scalar',
    'relations_enabled': dict.fromkeys(RELATIONS, 1), 'adam_lr': 0.01, 'margin': 0.25, 'batch': 4, 'steps': 0,
    'dtype': 'float64',
}


# ---- the model

def linear(parameters, name, x):
    out = torch.einsum('oi,...i->...o', parameters[f'{name}.weight'], x)
    return out + parameters[f'{name}.bias'] if f'{name}.bias' in parameters else out


def layer_norm(parameters, name, x):
    mean = x.sum(-1, keepdim=True) / x.shape[-1]
    variance = ((x - mean) ** 2).sum(-1, keepdim=True) / x.shape[-1]
    return (x - mean) / (variance + 1e-5) ** 0.5 * parameters[f'{name}.weight'] + parameters[f'{name}.bias']


def gelu(x):
    return 0.5 * x * (1 + torch.erf(x / 2 ** 0.5))


def cosine(a, b):
    return (a * b).sum(-1) / ((a * a).sum(-1) ** 0.5 * (b * b).sum(-1) ** 0.5)


def forward(config, parameters, inputs):
    """Scores [N, C] and the mean weights [L, 4, N, C] entering each layer."""
    mt, mi = (linear(parameters, PROJECTIONS[name], inputs[name]) for name in ('mention_text', 'mention_image'))
    et, ei = (linear(parameters, PROJECTIONS[name], inputs[name]) for name in ('entity_text', 'entity_image'))
    vector, dynamic = config['edge_feature'] == 'vector', config['edge_update'] == 'dynamic'
    # [N, C, 1] or [N, C, d]
    edges = [w.unsqueeze(-1).expand(-1, -1, config['hidden_dim'] if vector else 1) for w in inputs['weights']]
    trace = []
    for layer in range(config['num_layers']):
        name = f'gcn_layers.{layer}'
        trace.append(torch.stack([edge.mean(-1) for edge in edges]))
        edges = [edge * config['relations_enabled'][r] for edge, r in zip(edges, RELATIONS, strict=True)]
        tt, ti, it, ii = edges
        columns = et.shape[1]
        sums = [
            mt + (tt * et).sum(1) / columns + (ti * ei).sum(1) / columns,
            mi + (it * et).sum(1) / columns + (ii * ei).sum(1) / columns,
            et + tt * mt.unsqueeze(1) + it * mi.unsqueeze(1),
            ei + ti * mt.unsqueeze(1) + ii * mi.unsqueeze(1),
        ]
        if dynamic:
            ends = [(mt, et), (mt, ei), (mi, et), (mi, ei)]
            edges = [edge_update(parameters, name, edge, u, v) for edge, (u, v) in zip(edges, ends, strict=True)]
        mt, mi, et, ei = (
            gelu(layer_norm(parameters, f'{name}.layer_norm', linear(parameters, f'{name}.w_h', x))) for x in sums)
    shape = (0, 4, *et.shape[:2])
    return cosine(mt.unsqueeze(1), et), torch.stack(trace) if trace else torch.zeros(shape, dtype=torch.float64)


def edge_update(parameters, name, edge, u, v):
    left = linear(parameters, f'{name}.w_u', u).unsqueeze(1).expand(-1, v.shape[1], -1)
    right = linear(parameters, f'{name}.w_v', v)
    if f'{name}.w_m.weight' in parameters:
        return torch.sigmoid(linear(parameters, f'{name}.w_m', edge + torch.cat([left, right], -1)))
    return torch.sigmoid(edge + (left * right).sum(-1, keepdim=True) / u.shape[-1])


def margin_loss(scores, answer, margin):
    losses = []
    for s, a in zip(scores, answer.tolist(), strict=True):
        gold = s[a] if a < len(s) else 0.0
        losses.append(torch.clamp(margin + s - gold, min=0).sum() / len(s))
    return sum(losses) / len(losses)


def train(config, parameters, inputs, answer):
    """The loss before each Adam step, on batches in order that wrap round; Adam is written out."""
    parameters = {name: value.clone() for name, value in parameters.items()}
    first, second = ({name: torch.zeros_like(value) for name, value in parameters.items()} for _ in range(2))
    losses = []
    for step in range(config['steps']):
        rows = torch.arange(step * config['batch'], (step + 1) * config['batch']) % config['num_mentions']
        batch = {name: value[:, rows] if name == 'weights' else value[rows] for name, value in inputs.items()}
        for value in parameters.values():
            value.requires_grad_()
        scores = forward(config, parameters, batch)[0][:, :config['num_candidates']]
        loss = margin_loss(scores, answer[rows], config['margin'])
        grads = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
        losses.append(loss.item())
        for (name, value), grad in zip(list(parameters.items()), grads, strict=True):
            first[name] = ADAM_BETAS[0] * first[name] + (1 - ADAM_BETAS[0]) * grad
            second[name] = ADAM_BETAS[1] * second[name] + (1 - ADAM_BETAS[1]) * grad ** 2
            mean, square = (m / (1 - beta ** (step + 1))
                            for m, beta in zip((first[name], second[name]), ADAM_BETAS, strict=True))
            parameters[name] = (value - config['adam_lr'] * mean / (square ** 0.5 + ADAM_EPS)).detach()
    return np.array(losses)


# ---- the files

def read_inputs(folder, config, gold_appended):
    """What enters the model, from the files: pooled features and first weights, one mention and column at a time."""
    def load(name):
        return torch.from_numpy(np.load(folder / f'{name}.npy')).double()

    num_mentions, columns = config['num_mentions'], config['num_candidates'] + gold_appended
    all_columns = config['num_candidates'] + 1
    wikimel = config['dataset'] == 'wikimel'
    suffix = ('', '_all') if wikimel else ('_test', '_test')
    entity_text, entity_image = load(f'entity-attr-feature{suffix[0]}'), load(f'entity-image-feature{suffix[1]}')
    objects, scores = load('mention-object-feature_test'), load('mention-object-score_test')
    entity_objects = load(f'entity-object-feature{suffix[1]}')
    entity_scores = load(f'entity-object-score{suffix[1]}')
    tokens, start, end = load('mention-text-feature_test'), load('start-pos_test'), load('end-pos_test')
    eimt, miet = load('similarity-eimt_test'), load('similarity-miet_test')
    if wikimel:
        names = np.load(folder / 'entity-name-raw_test.npy')
        row_of = json.loads((folder / 'qid2idx.json').read_text())
        length = load('entity-attr-mask').sum(1)

    inputs = {name: [] for name in ('mention_text', 'mention_image', 'entity_text', 'entity_image')}
    weights = torch.zeros(4, num_mentions, columns, dtype=torch.float64)
    for n in range(num_mentions):
        mention = tokens[n, int(start[n]) + 1:int(end[n]) + 1].mean(0)
        inputs['mention_text'].append(mention)
        inputs['mention_image'].append(load('mention-image-feature_test')[n].mean(0))
        texts, images = [], []
        for c in range(columns):
            place = n * all_columns + c
            row = row_of[str(names[place])] if wikimel else place
            text = key = entity_text[row]
            if wikimel:
                inner, key = text[1:int(length[row]) - 1], text[0]
                text = inner.mean(0) if len(inner) else torch.zeros_like(key)
            texts.append(text)
            images.append(entity_image[row, 0])
            weights[0, n, c] = cosine(mention, key)
            weights[1, n, c] = eimt[n, c] / 100
            weights[2, n, c] = miet[n, c] / 100
            total = sum(scores[n, i] * entity_scores[row, 0] for i in range(OBJECTS))
            alike = sum(scores[n, i] * entity_scores[row, 0] * cosine(objects[n, i, 0], entity_objects[row, 0, 0])
                        for i in range(OBJECTS))
            weights[3, n, c] = alike / (total + 1e-9)
        inputs['entity_text'].append(torch.stack(texts))
        inputs['entity_image'].append(torch.stack(images))
    return {'weights': weights, **{name: torch.stack(rows) for name, rows in inputs.items()}}


def write_data(folder, config, rng):
    n, r = config['num_mentions'], config['num_candidates']
    text, image, columns = config['text_dim'], config['image_dim'], r + 1

    def save(name, array):
        np.save(folder / f'{name}.npy', array)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    def scores(*shape):
        return rng.uniform(0.01, 1, size=shape).astype(np.float32)

    start = rng.integers(0, TOKENS - 3, n)
    save('start-pos_test', start)
    save('end-pos_test', start + rng.integers(1, 3, n))
    save('mention-text-feature_test', normal(n, TOKENS, text))
    save('mention-text-mask_test', np.ones((n, TOKENS), dtype=np.int64))
    save('mention-image-feature_test', normal(n, REGIONS, image))
    save('mention-object-feature_test', normal(n, OBJECTS, 1, image))
    object_scores = scores(n, OBJECTS)
    object_scores[0] = 0             # nothing was detected
    object_scores[1, 1:] = 0         # padding after one object
    save('mention-object-score_test', object_scores)
    for name in ('similarity-miet_test', 'similarity-eimt_test'):
        save(name, rng.uniform(15, 30, (n, columns)).astype(np.float32))
    answer = rng.integers(0, r, n)
    answer[::3] = r                  # not retrieved
    save('answer_test', answer)
    if config['dataset'] == 'wikidiverse':
        q, suffix = n * columns, ('_test', '_test')
        save('entity-attr-feature_test', normal(q, text))
    else:
        q, suffix = 9, ('', '_all')
        length = rng.integers(3, ENTITY_TOKENS + 1, q)
        length[0] = 2                # `__nil__` has an empty text: [CLS] [SEP]
        save('entity-attr-feature', normal(q, ENTITY_TOKENS, text))
        save('entity-attr-mask', (np.arange(ENTITY_TOKENS) < length[:, None]).astype(np.int64))
        row_of = {'__nil__' if row == 0 else f'Q{100 + row}': row for row in range(q)}
        names = np.array(list(row_of))[rng.integers(1, q, (n, columns))]
        names[0, 1:r] = '__nil__'    # a padded list
        names[1, :] = names[1, 0]    # one entity in every column
        names[:, r] = np.where(answer < r, names[np.arange(n), np.minimum(answer, r - 1)], names[:, r])
        save('entity-name-raw_test', names.flatten())
        (folder / 'qid2idx.json').write_text(json.dumps(row_of))
    save(f'entity-image-feature{suffix[1]}', normal(q, 1, image))
    save(f'entity-object-feature{suffix[1]}', normal(q, 1, 1, image))
    save(f'entity-object-score{suffix[1]}', scores(q, 1))


def make_parameters(config, rng, w_m_bias=True):
    d = config['hidden_dim']
    parameters = {}

    def add(name, out, inner, bias=True):
        parameters[f'{name}.weight'] = torch.from_numpy(rng.normal(size=(out, inner)) / inner ** 0.5)
        if bias:
            parameters[f'{name}.bias'] = torch.from_numpy(0.3 * rng.normal(size=out))

    for vertex, name in PROJECTIONS.items():
        add(name, d, config['text_dim' if vertex.endswith('text') else 'image_dim'])
    vector = config['edge_feature'] == 'vector'
    for layer in range(config['num_layers']):
        name = f'gcn_layers.{layer}'
        add(f'{name}.w_h', d, d)
        add(f'{name}.w_u', d // 2 if vector else d, d)
        add(f'{name}.w_v', d // 2 if vector else d, d)
        if vector:
            add(f'{name}.w_m', d, d, w_m_bias)
        parameters[f'{name}.layer_norm.weight'] = torch.from_numpy(1 + 0.3 * rng.normal(size=d))
        parameters[f'{name}.layer_norm.bias'] = torch.from_numpy(0.3 * rng.normal(size=d))
    return parameters


def expected_of(folder, config, parameters):
    """The contents of `expected.npz` for a folder with data."""
    answer = torch.from_numpy(np.load(folder / 'answer_test.npy'))
    expected = {}
    for suffix, gold_appended in (('', False), ('_with_gold_appended', True)):
        inputs = read_inputs(folder, config, gold_appended)
        scores, weights = forward(config, parameters, inputs)
        expected[f'scores{suffix}'] = scores.numpy()
        if not gold_appended:
            expected['edge_weights'] = weights.numpy()
        if config['steps']:
            expected[f'losses{suffix}'] = train(config, parameters, inputs, answer)
    return expected


def write_folder(folder, seed=0, w_m_bias=True, off=(), **options):
    """A folder with data, parameters and what the published implementation computes from them."""
    config = {**DEFAULTS, **options}
    config['relations_enabled'] = {name: int(name not in off) for name in RELATIONS}
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    write_data(folder, config, rng)
    parameters = make_parameters(config, rng, w_m_bias)
    (folder / 'config.json').write_text(json.dumps(config))
    np.savez(folder / 'parameters.npz', **{name: value.numpy() for name, value in parameters.items()})
    np.savez(folder / 'expected.npz', **expected_of(folder, config, parameters))
    return folder

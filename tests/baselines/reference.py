"""The baselines as plain loops: one mention and one candidate at a time, straight off the tables."""

import math

import torch
from torch.nn.functional import gelu, layer_norm

from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE, MENTION_TEXT


def rows(tables, node_type, owner):
    """Feature rows that an owner has, as a list."""
    first = int(tables.first_row(node_type, torch.tensor([owner])))
    return [tables.x[node_type][first + i] for i in range(int(tables.num_rows(node_type, torch.tensor([owner]))))]


def apply(linear, x):
    out = linear.weight.double() @ x.double()
    return out if linear.bias is None else out + linear.bias.double()


def mean(vectors, width):
    return sum(vectors) / len(vectors) if vectors else torch.zeros(width, dtype=torch.double)


def cosine(a, b):
    if a.norm() == 0 or b.norm() == 0:
        return torch.tensor(0.0, dtype=torch.double)
    return a @ b / (a.norm() * b.norm())


def scale_of(module):
    return min(math.exp(float(module.log_scale)), 100.0) if module.scaled else 1.0


def single_space(model, tables, m, e):
    width = model.hidden_channels

    def side(types, owner):
        vector = sum(mean([apply(model.encoders[t], x) for x in rows(tables, t, owner)], width) for t in types)
        return vector

    mention = [t for t in (MENTION_TEXT, MENTION_IMAGE) if t in model.encoders]
    entity = [t for t in (ENTITY_TEXT, ENTITY_IMAGE) if t in model.encoders]
    return scale_of(model.cosine) * cosine(side(mention, m), side(entity, e))


def first_weights(tables, candidates, m, e):
    """Weight of each relation, None where the pair has no such edge."""
    found = []
    for edge_type in EDGE_TYPES:
        src, _, dst = edge_type
        i, j = (int(tables.first_row(t, torch.tensor([owner]))) for t, owner in ((src, m), (dst, e)))
        values = [tables.weight[edge_type][0][i + a] @ tables.weight[edge_type][1][j + b]
                  for a in range(len(rows(tables, src, m))) for b in range(len(rows(tables, dst, e)))]
        found.append(float(sum(values) / len(values)) if values else None)
    return found


def pair_network(model, tables, candidates, m, e):
    width, parts = model.hidden_channels, []
    for mention_type, entity_type in ((MENTION_TEXT, ENTITY_TEXT), (MENTION_IMAGE, ENTITY_IMAGE)):
        u = [apply(model.encoders[mention_type], x) for x in rows(tables, mention_type, m)]
        v = [apply(model.encoders[entity_type], x) for x in rows(tables, entity_type, e)]
        if not u or not v:
            parts.append(torch.zeros(2 * width, dtype=torch.double))
            continue
        u, v = mean(u, width), mean(v, width)
        u, v = u / u.norm() * math.sqrt(width), v / v.norm() * math.sqrt(width)
        parts += [u * v, (u - v).abs()]
    weight = first_weights(tables, candidates, m, e)
    weights = torch.tensor([w or 0.0 for w in weight] + [float(w is not None) for w in weight], dtype=torch.double)
    hidden = gelu(apply(model.hidden, torch.cat([*parts, weights])))
    return (apply(model.out, hidden) + apply(model.linear, weights))[0]


def attention(module, queries, keys):
    """Multi-head attention of each query over the keys; dropout off."""
    width = module.embed_dim
    split = [slice(i * width, (i + 1) * width) for i in range(3)]
    w, b = module.in_proj_weight.double(), module.in_proj_bias.double()
    head, out = width // module.num_heads, []
    for query in queries:
        q, parts = w[split[0]] @ query + b[split[0]], []
        for h in range(module.num_heads):
            at = slice(h * head, (h + 1) * head)
            logits = [q[at] @ (w[split[1]] @ key + b[split[1]])[at] / math.sqrt(head) for key in keys]
            share = torch.stack(logits).softmax(0)
            parts.append(sum(s * (w[split[2]] @ key + b[split[2]])[at] for s, key in zip(share, keys, strict=True)))
        out.append(apply(module.out_proj, torch.cat(parts)))
    return out


def cross_attention(module, a, b):
    def norm(i, x):
        layer = module.norms[i]
        return layer_norm(x, x.shape, layer.weight.double(), layer.bias.double(), layer.eps)

    h = [norm(0, x) for x in (attention(module.attentions[0], a, b) if b else a)]
    h = [norm(1, x + apply(module.linears[0], x)) for x in h]
    g = [norm(2, x) for x in attention(module.attentions[1], h, a)]
    return [norm(3, x + apply(module.linears[1], x)) for x in g]


def largest(vectors):
    return torch.stack(vectors).amax(0)


def ghmfc_sides(model, tokens, regions):
    """Text and image side of a mention; None for one that is not there."""
    tokens = [apply(model.token_encoder, x) for x in tokens]
    regions = [apply(model.region_encoder, x) for x in regions]
    t = gelu(apply(model.text, largest(cross_attention(model.to_regions, tokens, regions)))) if tokens else None
    i = gelu(apply(model.image, largest(cross_attention(model.to_tokens, regions, tokens)))) if regions else None
    return t, i


def ghmfc(model, tables, tokens, regions, e):
    t, i = ghmfc_sides(model, tokens, regions)
    if t is not None and i is not None:
        alpha = apply(model.gate, torch.cat([t, i])).softmax(0)
        mention = alpha[0] * t + alpha[1] * i
    else:
        mention = i if t is None else t
    entity = apply(model.entity_encoder, rows(tables, ENTITY_TEXT, e)[0])
    return scale_of(model.cosine) * cosine(mention, entity)


def lstm_last(lstm, inputs):
    """Last state of an LSTM, gate by gate (torch's order: input, forget, cell, output)."""
    size = lstm.hidden_size
    h = c = torch.zeros(size, dtype=torch.double)
    for x in inputs:
        gates = (lstm.weight_ih_l0.double() @ x + lstm.bias_ih_l0.double()
                 + lstm.weight_hh_l0.double() @ h + lstm.bias_hh_l0.double())
        i, f, g, o = gates.split(size)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    return h


def melhi_keeps(model, tables, tokens, m, candidates):
    """Whether the filter keeps the image of a mention, given all of its candidates."""
    images = [apply(model.image, x) for x in rows(tables, MENTION_IMAGE, m)]
    if not images:
        return False
    image = mean(images, model.text_channels)
    if not cosine(image, mean([x.double() for x in tokens], model.text_channels)) > model.threshold:
        return False
    others = [[apply(model.image, x) for x in rows(tables, ENTITY_IMAGE, e)] for e in candidates]
    return any(cosine(image, mean(other, model.text_channels)) > model.threshold for other in others if other)


def melhi(model, tables, tokens, marked, m, e, candidates):
    width, tokens = model.text_channels, [x.double() for x in tokens]
    image = torch.zeros(width, dtype=torch.double)
    if melhi_keeps(model, tables, tokens, m, candidates):
        image = mean([apply(model.image, x) for x in rows(tables, MENTION_IMAGE, m)], width)
    own = [place for place, mark in enumerate(marked) if mark] or list(range(len(tokens)))
    words = mean([tokens[place] for place in own], width)
    inputs = [torch.cat([token, words, image]) for token in tokens]
    if tokens:
        left, right = inputs[:own[-1] + 1], list(reversed(inputs[own[0]:]))
    else:
        left = right = []
    mention = apply(model.mention, torch.cat([lstm_last(model.lstm, left), lstm_last(model.lstm, right)]))
    other = mean([apply(model.image, x) for x in rows(tables, ENTITY_IMAGE, e)], width)
    entity = apply(model.entity, torch.cat([rows(tables, ENTITY_TEXT, e)[0].double(), other]))
    return scale_of(model.cosine) * cosine(mention, entity)

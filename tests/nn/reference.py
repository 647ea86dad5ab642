"""The DRIN layer and model, edge by edge and vertex by vertex, straight from the formulas of the paper.

Nothing here uses the package's algebra: `W_u u + b_u` and `W_v v + b_v` are computed anew for every edge, the mean over
the neighbours is a list of messages, LayerNorm and GELU are written out. Float64, slow, differentiable.
"""

import math

import torch

from drin_pyg.vocabulary import ENTITY_TEXT, MENTION_IMAGE, TEXT_TEXT


def layer_norm(h, weight, bias, eps):
    mean = sum(h) / h.numel()
    variance = sum((value - mean) ** 2 for value in h) / h.numel()
    return (h - mean) / torch.sqrt(variance + eps) * weight + bias


def gelu(h):
    return h * (1 + torch.erf(h / math.sqrt(2))) / 2


def weighted_mean(x_src, x_dst, edge_index, edge_weight, flow='source_to_target', aggr='mean'):
    """The vertex rule of one relation, towards the destination (or, against the flow, the source)."""
    sending, receiving = (0, 1) if flow == 'source_to_target' else (1, 0)
    senders, num_receivers = (x_src, x_dst)[sending], (x_src, x_dst)[receiving].size(0)
    out = []
    for i in range(num_receivers):
        messages = []
        for e in range(edge_index.size(1)):
            if int(edge_index[receiving, e]) == i:
                messages.append(edge_weight[e] * senders[int(edge_index[sending, e])])
        total = sum(messages) if messages else torch.zeros_like(senders[0])
        out.append(total / len(messages) if messages and aggr == 'mean' else total)
    return torch.stack(out)


def edge_rule(rule, u, v, e):
    """The new weight of the one edge between `u` and `v`."""
    left = rule.lin_u.weight @ u + rule.lin_u.bias
    right = rule.lin_v.weight @ v + rule.lin_v.bias
    if rule.vector:
        return torch.sigmoid(rule.lin_m.weight @ (e + torch.cat([left, right])) + rule.lin_m.bias)
    return torch.sigmoid(e + sum(left * right) / u.numel())


def drin_layer(conv, x_dict, edge_index_dict, edge_weight_dict):
    """`conv(x_dict, edge_index_dict, edge_weight_dict)` of a `DRINConv`, whose parameters it reads."""
    x_out, weight_out = {}, {}
    for node_type in conv.out_node_types:
        key = 'shared' if conv.shared else node_type
        lin, norm = conv.lins[key], conv.norms[key]
        x_out[node_type] = torch.empty(0, conv.out_channels, dtype=torch.float64)
        rows = []
        for i in range(x_dict[node_type].size(0)):
            total = x_dict[node_type][i]
            for edge_type in conv.metadata[1]:
                src, _, dst = edge_type
                edges = list(enumerate(edge_index_dict[edge_type].t().tolist()))
                weight = edge_weight_dict[edge_type]
                # An edge is undirected, so a relation between vertices of one type counts from either side.
                if dst == node_type:
                    messages = [weight[e] * x_dict[src][a] for e, (a, b) in edges if b == i]
                    total = total + sum(messages) / max(len(messages), 1)
                if src == node_type:
                    messages = [weight[e] * x_dict[dst][b] for e, (a, b) in edges if a == i]
                    total = total + sum(messages) / max(len(messages), 1)
            out = gelu(layer_norm(lin.weight @ total + lin.bias, norm.weight, norm.bias, norm.eps))
            rows.append(x_dict[node_type][i] + conv.scales[key] * out if conv.residual else out)
        if rows:
            x_out[node_type] = torch.stack(rows)
    for edge_type in conv.out_edge_types:
        src, _, dst = edge_type
        weight_out[edge_type] = weight = edge_weight_dict[edge_type]
        if conv.dynamic and weight.size(0) > 0:
            rule = conv.edge_rules['shared' if conv.shared else edge_type]
            ends = edge_index_dict[edge_type].t().tolist()
            weight_out[edge_type] = torch.stack([
                edge_rule(rule, x_dict[src][a], x_dict[dst][b], e) for (a, b), e in zip(ends, weight, strict=True)])
    return x_out, weight_out


def cosine(u, v):
    return sum(u * v) / (torch.sqrt(sum(u * u)) * torch.sqrt(sum(v * v)))


def drin(model, x_dict, edge_index_dict, edge_weight_dict, num_images):
    """`model(x_dict, edge_index_dict, edge_weight_dict, None, num_images)` of a `DRIN`: scores and the weights between.

    Every layer computes exactly what its own `DRINConv` is asked for; that nothing the score reads is missing there is
    what the comparison of the scores shows.
    """
    width = model.hidden_channels
    x_dict = {
        node_type: torch.stack([model.encoders[node_type].weight @ x + model.encoders[node_type].bias for x in rows])
        if len(rows) else torch.empty(0, width, dtype=torch.float64)
        for node_type, rows in x_dict.items() if node_type in model.encoders
    }
    weights = {}
    for edge_type in model.edge_types:
        weights[edge_type] = edge_weight_dict[edge_type]
        if model.vector_edges:
            weights[edge_type] = torch.stack([weights[edge_type]] * width, dim=1)
    trace = [weights]
    for conv in model.convs:
        x_dict, weights = drin_layer(conv, x_dict, edge_index_dict, weights)
        trace.append(weights)

    image_owner = [p for p, count in enumerate(num_images.tolist()) for _ in range(count)]
    scores = []
    for p in range(len(num_images)):
        score = evidence = torch.zeros((), dtype=torch.float64)
        for r, (src, name, dst) in enumerate(model.edge_types if model.read_relations else [TEXT_TEXT]):
            values = []
            for e, (a, b) in enumerate(edge_index_dict[src, name, dst].t().tolist()):
                if (b if dst == ENTITY_TEXT else image_owner[b]) != p:
                    continue
                value = cosine(x_dict[src][a], x_dict[dst][b])
                if model.read_relations:
                    weight = weights[src, name, dst][e]
                    if model.dynamic and model.num_layers:
                        weight = torch.log(weight / (1 - weight))
                    weight = sum(weight) / width if model.vector_edges else weight
                    value = model.relation_scale[r] * weight + model.cosine_scale[r] * value
                values.append(value)
            term = sum(values) / max(len(values), 1)
            if getattr(model, 'doubt_images', False) and src == MENTION_IMAGE:
                evidence = evidence + term
            else:
                score = score + term
        if getattr(model, 'doubt_images', False):
            rho = torch.sigmoid(50 * model.image_trust)
            score = score + torch.log(1 - rho + rho * torch.exp(evidence - 50 * model.image_level))
        scores.append(score)
    return torch.stack(scores) if scores else torch.zeros(0, dtype=torch.float64), trace

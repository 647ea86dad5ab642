"""One DRIN layer, edge by edge and vertex by vertex, straight from the formulas of the paper.

Nothing here uses the package's algebra: `W_u u + b_u` and `W_v v + b_v` are computed anew for every edge, the mean over
the neighbours is a list of messages, LayerNorm and GELU are written out. Float64, slow, differentiable.
"""

import math

import torch


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
            rows.append(gelu(layer_norm(lin.weight @ total + lin.bias, norm.weight, norm.bias, norm.eps)))
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

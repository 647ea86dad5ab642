r"""`torch_geometric.explain` on a model that holds `DRINConv`: which ratings does a prediction rest on?

Masks of edges multiply the messages of every `RelationConv` inside the layers, in both directions. The test of an
explanation is to take edges out: without the ratings it names, the model should be less sure than without others.

A score that reads edge *weights*, too, as that of `DRIN` does, is not reached through messages: see
`drin_pyg/evaluation/explain.py`, which passes the weights through a conv of their own (`EdgeGate`).
"""

import torch
from compose import RATES, DynamicNet, fit, graph_args, make_graph
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.explain import Explainer, GNNExplainer


def explain(model: torch.nn.Module, data: HeteroData, users: Tensor, epochs: int = 100) -> dict[tuple, Tensor]:
    """Importance 0..1 of every edge for the predictions of the users, by edge type."""
    explainer = Explainer(model, GNNExplainer(epochs=epochs, lr=0.05), explanation_type='model',
                          edge_mask_type='object', node_mask_type='attributes',
                          model_config={'mode': 'multiclass_classification', 'task_level': 'node',
                                        'return_type': 'raw'})
    found = explainer(data.x_dict, data.edge_index_dict, edge_weight_dict=data.edge_weight_dict, index=users)
    return found.collect('edge_mask')


def without(data: HeteroData, importance: Tensor, count: int) -> HeteroData:
    """The graph without the `count` most important ratings of each user."""
    user = data[RATES].edge_index[0]
    order = importance.argsort(descending=True, stable=True)
    order = order[user[order].argsort(stable=True)]
    degree = torch.bincount(user)
    place = torch.arange(user.numel()) - (degree.cumsum(0) - degree)[user[order]]
    return data.edge_subgraph({RATES: order[place >= count].sort().values})


def run(seed: int = 0, count: int = 3) -> dict[str, float]:
    """Mean probability of the predicted taste of 50 users, with and without some of their ratings."""
    data = make_graph()
    torch.manual_seed(seed)
    model = DynamicNet(data.metadata())
    fit(model, data)
    users = (~data['user'].train_mask).nonzero().flatten()[:50]
    importance = explain(model, data, users)[RATES].detach()
    with torch.no_grad():
        predicted = model(*graph_args(data))[users].argmax(-1)

        def sure(graph: HeteroData) -> float:
            probability = model(*graph_args(graph))[users].softmax(-1)
            return float(probability.gather(1, predicted.unsqueeze(1)).mean())

        return {
            'all ratings': sure(data),
            f'without the {count} most important': sure(without(data, importance, count)),
            f'without {count} at random': sure(without(data, torch.rand(importance.shape), count)),
            f'without the {count} least important': sure(without(data, -importance, count)),
        }


def main() -> None:
    """Prints the probabilities."""
    print('Probability of the predicted taste')
    for name, value in run().items():
        print(f'  {name:<32}{value:.3f}')


if __name__ == '__main__':
    main()

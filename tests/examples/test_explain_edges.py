import explain_edges
import torch
from compose import RATES, make_graph


def test_the_ratings_it_names_matter():
    sure = explain_edges.run()
    loss = {name: sure['all ratings'] - value for name, value in sure.items()}
    assert loss['without the 3 most important'] > 0.1
    assert loss['without the 3 most important'] > 2 * loss['without 3 at random']
    assert loss['without the 3 most important'] > 2 * loss['without the 3 least important']


def test_ratings_are_taken_out_by_user():
    data = make_graph()
    importance = torch.rand(data[RATES].num_edges, generator=torch.Generator().manual_seed(3))
    users, movies = data[RATES].edge_index.tolist()
    expected = []
    for user in range(400):
        own = sorted((float(importance[i]), i) for i in range(len(users)) if users[i] == user)
        expected += sorted(i for _, i in own[:-3])
    left = explain_edges.without(data, importance, 3)
    assert left[RATES].edge_index.equal(data[RATES].edge_index[:, torch.tensor(sorted(expected))])
    assert left[RATES].edge_weight.equal(data[RATES].edge_weight[torch.tensor(sorted(expected))])
    assert len(movies) == data[RATES].num_edges

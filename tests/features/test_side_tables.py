import torch

from drin_pyg.features import pair_tables, side_tables
from drin_pyg.features.side_tables import select_mentions
from drin_pyg.vocabulary import EDGE_TYPES, MENTION_IMAGE, MENTION_TEXT


def test_taken_apart_and_put_together(world):
    tables = pair_tables(*side_tables(world.tables))
    for node_type, x in world.tables.x.items():
        assert torch.equal(tables.x[node_type], x)
    for edge_type in EDGE_TYPES:
        for one, other in zip(tables.weight[edge_type], world.tables.weight[edge_type], strict=True):
            assert torch.equal(one, other)


def test_selected_mentions(world):
    side, chosen = side_tables(world.tables)[0], [3, 1, 3, 0]
    picked = select_mentions(side, torch.tensor(chosen))
    assert torch.equal(picked.text, torch.stack([side.text[m] for m in chosen]))
    for new, old in enumerate(chosen):
        rows = range(*side.ptr[old:old + 2].tolist())
        own = slice(*picked.ptr[new:new + 2].tolist())
        assert picked.image[own].tolist() == [side.image[row].tolist() for row in rows]
        for edge_type in EDGE_TYPES:
            table = picked.weight[edge_type]
            if edge_type[0] == MENTION_TEXT:
                assert torch.equal(table[new], side.weight[edge_type][old])
            else:
                assert edge_type[0] == MENTION_IMAGE
                assert table[own].tolist() == [side.weight[edge_type][row].tolist() for row in rows]
    assert picked.ptr[-1] == picked.image.size(0)

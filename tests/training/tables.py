"""Small tables in which the texts of a mention and of its answer agree, and nothing else does."""

import torch

from drin_pyg.features import Candidates, PairTables
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE, MENTION_TEXT

NUM_MENTIONS, NUM_ENTITIES, WIDTH = 48, 20, 6


def make_tables(entity_width=WIDTH, images=True):
    """Tables, candidates and split; the first weights say nothing, so a model has to compare the texts."""
    generator = torch.Generator().manual_seed(0)

    def randn(*size):
        return torch.randn(*size, generator=generator)

    gold = torch.randint(0, NUM_ENTITIES, (NUM_MENTIONS, ), generator=generator)
    entity_text = randn(NUM_ENTITIES, entity_width)
    turn = torch.linalg.qr(randn(WIDTH, WIDTH)).Q  # what mentions write is turned against what entities write
    mention_text = entity_text[gold][:, :WIDTH] @ turn + 0.05 * randn(NUM_MENTIONS, WIDTH)
    x = {MENTION_TEXT: mention_text, ENTITY_TEXT: entity_text, MENTION_IMAGE: randn(NUM_MENTIONS, WIDTH),
         ENTITY_IMAGE: randn(NUM_ENTITIES, WIDTH)}
    ptr = {}
    if not images:
        for node_type, owners in ((MENTION_IMAGE, NUM_MENTIONS), (ENTITY_IMAGE, NUM_ENTITIES)):
            x[node_type], ptr[node_type] = torch.empty(0, WIDTH), torch.zeros(owners + 1, dtype=torch.long)
    weight = {e: (0.1 * randn(x[e[0]].size(0), 2), randn(x[e[2]].size(0), 2)) for e in EDGE_TYPES}
    lists = []
    for answer in gold.tolist():
        wrong = [e for e in torch.randperm(NUM_ENTITIES, generator=generator).tolist() if e != answer]
        place = int(torch.randint(0, 5, (), generator=generator))
        lists.append([*wrong[:place], answer, *wrong[place:4]])
    split = {'train': torch.arange(32), 'val': torch.arange(32, 40), 'test': torch.arange(47, 39, -1)}
    return PairTables(x, weight, ptr), Candidates.from_lists(lists, gold.tolist()), split

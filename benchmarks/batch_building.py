r"""Building batches of pair graphs: vectorised against Batch.from_data_list of single graphs.

python benchmarks/batch_building.py [--mentions 64] [--candidates 32] [--dim 384] [--rounds 5]
"""

import argparse

import torch
from timing import compare, show, show_machine
from torch_geometric.data import Batch

from drin_pyg import EDGE_TYPES, NODE_TYPES, Candidates, PairTables, candidate_batch, pair_graph
from drin_pyg.vocabulary import MENTION_TYPES


def main() -> None:
    """Parses, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--mentions', type=int, default=64)
    parser.add_argument('--candidates', type=int, default=32, help='candidates of a mention')
    parser.add_argument('--dim', type=int, default=384)
    parser.add_argument('--rounds', type=int, default=5)
    arguments = parser.parse_args()
    show_machine()
    torch.manual_seed(0)
    sizes = {t: arguments.mentions if t in MENTION_TYPES else 2000 for t in NODE_TYPES}
    tables = PairTables(
        x={t: torch.randn(n, arguments.dim) for t, n in sizes.items()},
        weight={t: (torch.randn(sizes[t[0]], arguments.dim), torch.randn(sizes[t[2]], arguments.dim))
                for t in EDGE_TYPES},
    )
    candidates = Candidates.from_lists(torch.randint(2000, (arguments.mentions, arguments.candidates)).tolist())
    graphs = [pair_graph(tables, m, e) for m, e in
              zip(candidates.mention.tolist(), candidates.entity.tolist(), strict=True)]
    show(f'A batch of {candidates.num_pairs} pair graphs', compare({
        'candidate_batch': lambda: candidate_batch(tables, candidates),
        'candidate_batch, compact': lambda: candidate_batch(tables, candidates, compact=True),
        'Batch.from_data_list alone': lambda: Batch.from_data_list(graphs),
    }, arguments.rounds))


if __name__ == '__main__':
    main()

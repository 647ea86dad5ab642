import pickle

import pytest
import torch

from drin_pyg.baselines import AddSequences
from drin_pyg.features import Sequences
from drin_pyg.graph import CandidateLoader, candidate_batch
from tests.baselines.problems import MARKED, make_problem


@pytest.fixture(scope='module')
def problem():
    return make_problem()


@pytest.mark.parametrize('context', ['pair', 'mention'])
def test_rows_of_every_mention_in_ascending_order(problem, context):
    batch = problem.batch(torch.tensor([5, 1, 3, 2]), context=context)  # mention 1 has no pair
    assert batch.tokens.shape == (3, 5, 7)
    assert batch.regions.shape == (3, 6, 5)
    for place, m in enumerate([2, 3, 5]):
        for x, mask, sequences in ((batch.tokens, batch.token_mask, problem.tokens),
                                   (batch.regions, batch.region_mask, problem.regions)):
            own = problem.rows(sequences, m)
            assert mask[place].tolist() == [i < len(own) for i in range(x.size(1))]
            assert x[place][:len(own)].equal(sequences.x[sequences.ptr[m]:sequences.ptr[m + 1]])
            assert not x[place][len(own):].any()
        marked = [mark == '1' for mark in MARKED[m]]
        assert batch.token_marked[place].tolist() == [*marked, *[False] * (5 - len(marked))]


def test_nobody_has_a_region_and_half_precision(problem):
    none = Sequences(torch.empty(0, 5), torch.zeros(7, dtype=torch.long))
    tokens = Sequences(problem.tokens.x.half(), problem.tokens.ptr, problem.tokens.marked)
    batch = AddSequences(tokens, none)(candidate_batch(problem.tables, problem.candidates))
    assert batch.regions.shape == (5, 0, 5)
    assert batch.tokens.dtype == torch.float32
    assert batch.tokens[0, 0].equal(tokens.x[0].float())


def test_loads_and_can_be_sent_to_workers(problem):
    transform = pickle.loads(pickle.dumps(AddSequences(problem.tokens, problem.regions)))
    loader = CandidateLoader(problem.tables, problem.candidates, max_pairs=8, transform=transform)
    assert [batch.tokens.size(0) for batch in loader] == [batch.mention.unique().numel() for batch in loader]
    assert len(loader) > 1


def test_sequences_that_do_not_fit(problem):
    with pytest.raises(ValueError, match='tokens of 6 mentions, but regions of 2'):
        AddSequences(problem.tokens, problem.regions.select(torch.tensor([0, 1])))
    with pytest.raises(ValueError, match="'marked'"):
        AddSequences(problem.regions, problem.regions)
    few = torch.tensor([0, 1])
    with pytest.raises(IndexError, match='holds mention 5, but there are sequences of 2'):
        AddSequences(problem.tokens.select(few), problem.regions.select(few))(
            candidate_batch(problem.tables, problem.candidates))

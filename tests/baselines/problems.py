"""The ragged little world with tokens and regions of its mentions, and one of each baseline for it."""

from dataclasses import dataclass

import torch

from drin_pyg.baselines import AddSequences, build_baseline
from drin_pyg.features import Candidates, PairTables, Sequences
from drin_pyg.graph import candidate_batch
from drin_pyg.vocabulary import ENTITY_IMAGE, MENTION_IMAGE
from tests.baselines import reference
from tests.world import GOLD, LISTS, NUM_IMAGES, WIDTHS, make_tables

TOKEN, REGION = 7, 5                     # widths
NUM_TOKENS = [3, 2, 1, 5, 0, 4]          # of mention 4 there is an image alone, of mention 5 the text alone
MARKED = ['011', '00', '1', '01100', '', '0001']
OPTIONS = {
    'text_only': {},
    'image_only': {},
    'single_space': {},
    'pair_network': {},
    'ghmfc': {'contrastive': 0.5},
    'melhi': {'text_channels': TOKEN, 'threshold': 0.0},  # of random maps, half of all cosines are above it
}


@dataclass
class Problem:
    tables: PairTables
    candidates: Candidates
    tokens: Sequences
    regions: Sequences

    def batch(self, mention=None, context='pair', compact=True):
        batch = candidate_batch(self.tables, self.candidates, mention, context=context, compact=compact)
        return AddSequences(self.tokens, self.regions)(batch)

    def rows(self, sequences, m):
        return list(sequences.x[sequences.ptr[m]:sequences.ptr[m + 1]])


def make_problem():
    tables = make_tables(NUM_IMAGES)
    generator = torch.Generator().manual_seed(1)

    def randn(*size):
        return torch.randn(*size, generator=generator)

    # One Linear maps the images of both sides, so they are of one width.
    x = {**tables.x, ENTITY_IMAGE: randn(tables.x[ENTITY_IMAGE].size(0), WIDTHS[MENTION_IMAGE])}
    ptr = torch.tensor([0, *NUM_TOKENS]).cumsum(0)
    marked = torch.tensor([mark == '1' for mark in ''.join(MARKED)])
    regions = 2 * torch.tensor([0, *NUM_IMAGES[MENTION_IMAGE]]).cumsum(0)
    return Problem(
        PairTables(x, tables.weight, tables.ptr),
        Candidates.from_lists(LISTS, GOLD),
        Sequences(randn(int(ptr[-1]), TOKEN), ptr, marked),
        Sequences(randn(int(regions[-1]), REGION), regions),
    )


def make_model(name, problem, **options):
    """A baseline in evaluation mode with every parameter drawn at random, those that start at zero too."""
    torch.manual_seed(0)
    model = build_baseline(name, **{'hidden_channels': 12, **OPTIONS[name], **options}).eval()
    with torch.no_grad():
        model(problem.batch())
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def loop_scores(name, model, problem):
    """Scores ``[P]`` by the plain loops."""
    scores = []
    for m, e in zip(problem.candidates.mention.tolist(), problem.candidates.entity.tolist(), strict=True):
        tokens, regions = problem.rows(problem.tokens, m), problem.rows(problem.regions, m)
        if name == 'pair_network':
            score = reference.pair_network(model, problem.tables, problem.candidates, m, e)
        elif name == 'ghmfc':
            score = reference.ghmfc(model, problem.tables, tokens, regions, e)
        elif name == 'melhi':
            marked = [mark == '1' for mark in MARKED[m]]
            score = reference.melhi(model, problem.tables, tokens, marked, m, e, LISTS[m])
        else:
            score = reference.single_space(model, problem.tables, m, e)
        scores.append(float(score))
    return torch.tensor(scores)

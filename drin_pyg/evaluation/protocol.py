r"""The published way of training and testing, by name, beside the honest one: to say how much of a score is the way."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.utils import cumsum

from drin_pyg.evaluation.metrics import evaluate_scores
from drin_pyg.features import Candidates, MELData


class DropAppended:
    r"""Transform of batches whose lists end with an appended answer: marks the pairs whose score counts.

    Sets ``batch.scored``, bool ``[P]``, False for the last pair of every mention that has an appended answer. Such a
    pair is part of the graph (in mention context, the mention's vertices average over it) and of nothing else.

    Args:
        appended: Mentions with an appended answer, bool ``[M]``.
    """

    def __init__(self, appended: Tensor):
        self.appended = appended

    def __call__(self, batch: HeteroData) -> HeteroData:
        mention = batch.mention
        last = torch.ones_like(mention, dtype=torch.bool)
        last[:-1] = mention[1:] != mention[:-1]
        batch.scored = ~(last & self.appended[mention])
        return batch


def append_gold(data: MELData) -> tuple[Candidates, DropAppended]:
    r"""Appends its answer to every candidate list, whether it is there already or not, as the published data does.

    This leaks the label: in mention context the mention's vertices take the mean over a list of which the answer is
    a part for sure, or is a part twice. Mentions without an answer in the knowledge base keep their list.

    Args:
        data: The data.

    Returns:
        The longer lists, and the transform that drops the scores of what was appended.

    Raises:
        ValueError: If first weights were given per pair and nothing is known that could give those of the answers.
    """
    candidates = data.candidates
    if candidates.gold is None:
        raise ValueError("The published protocol appends answers, but these candidates have no 'gold'")
    appended = candidates.gold >= 0
    ptr = cumsum(candidates.counts + appended)
    entity = torch.empty(int(ptr[-1]), dtype=torch.long)
    place = torch.ones_like(entity, dtype=torch.bool)
    last = ptr[1:][appended] - 1
    entity[last], place[last] = candidates.gold[appended], False
    entity[place] = candidates.entity
    longer = Candidates(ptr, entity, candidates.gold)
    if candidates.weight:
        if data.preset is None:
            raise ValueError("First weights of this data are given per pair, and none for appended answers; the "
                             "published protocol needs data that `drin-pyg encode` made from texts and pictures")
        longer = data.weigh(data.tables, longer, data.mentions)
    return longer, DropAppended(appended)


@dataclass(frozen=True)
class ProtocolGap:
    r"""Top-1 accuracy of one model on one split, from the honest protocol to the published one, step by step.

    Args:
        honest: Ties lose, a mention whose answer was not retrieved is a miss.
        ties: As ``honest``, but ties win.
        conditional: As ``ties``, but mentions whose answer was not retrieved are left out.
        published: As ``conditional``, with the answer appended to every list: the published figure.
        appended: As ``honest``, with the answer appended: what the leak alone does.
        recall: Share of mentions whose answer was retrieved.
        num_mentions: Number of mentions.
    """

    honest: float
    ties: float
    conditional: float
    published: float
    appended: float
    recall: float
    num_mentions: int

    def format(self) -> str:
        r"""The steps as a table, in percent."""
        steps = [('honest: raw, ties lose', self.honest, None), ('ties win', self.ties, self.honest),
                 ('answers that were not retrieved left out', self.conditional, self.ties),
                 ('published: answer appended to every list', self.published, self.conditional)]
        lines = [f'{self.num_mentions} mentions, recall of the candidates {self.recall:.2%}',
                 f'{"":<44}{"top-1":>9}{"step":>9}']
        lines += [f'{name:<44}{value:>9.2%}' + ('' if before is None else f'{value - before:>+9.2%}')
                  for name, value, before in steps]
        return '\n'.join([*lines, f'{"honest, but answer appended to every list":<44}{self.appended:>9.2%}'
                                  f'{self.appended - self.honest:>+9.2%}'])


def protocol_gap(scores: Tensor, appended_scores: Tensor, candidates: Candidates) -> ProtocolGap:
    r"""How much of a score is the protocol.

    Args:
        scores: Scores of the pairs, ``[P]``.
        appended_scores: Scores of the same pairs with the answers appended to their lists, ``[P]``.
        candidates: The lists as they were retrieved.
    """
    pessimistic, optimistic = (evaluate_scores(scores, candidates, tie) for tie in ('pessimistic', 'optimistic'))
    leaked = evaluate_scores(appended_scores, candidates, 'optimistic')
    return ProtocolGap(
        honest=pessimistic.hits[1],
        ties=optimistic.hits[1],
        conditional=optimistic.conditional_hits[1],
        published=leaked.conditional_hits[1],
        appended=evaluate_scores(appended_scores, candidates).hits[1],
        recall=pessimistic.recall,
        num_mentions=pessimistic.num_mentions,
    )

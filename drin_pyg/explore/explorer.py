from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from drin_pyg.datasets import Mention
from drin_pyg.evaluation import gold_ranks, pair_weights
from drin_pyg.evaluation.diagnose_pass import depths, score_terms, total
from drin_pyg.explore.records import Judged, Opened, RankedCandidate, Ranking
from drin_pyg.features import Candidates, PairTables
from drin_pyg.graph import CandidateLoader, candidate_batch, forward_args
from drin_pyg.linking import LinkedCandidate, Linker
from drin_pyg.linking.link_request import LinkRequest
from drin_pyg.linking.linker import MAX_PAIRS
from drin_pyg.vocabulary import RELATIONS


class Explorer:
    r"""What a page, or a notebook, asks of a trained model: rank a mention, change how much a relation counts, and
    find the mistakes.

    Args:
        linker: The trained model with its knowledge base.
    """

    def __init__(self, linker: Linker):
        self.linker = linker
        self.model = linker.model
        self.data = linker.data
        self._judged: dict[str, list[Judged]] = {}

    @classmethod
    def from_pretrained(cls, folder: str | Path, progress: bool = False) -> 'Explorer':
        r"""Reads the folder of a run; errors are those of :meth:`Linker.from_pretrained`."""
        return cls(Linker.from_pretrained(folder, progress))

    @property
    def relations(self) -> list[str]:
        r"""Names of the relations that the model reads."""
        return [edge_type[1] for edge_type in self.model.edge_types]

    def open(self, sentence: str, mention: str, image: str | Path | None = None,
             start: int | None = None) -> Opened:
        r"""Retrieves candidates for a new mention.

        Args:
            sentence: The text around the mention.
            mention: The words that mention the entity.
            image: The image file beside the text; None for none.
            start: Where in the sentence the mention begins; None for its first occurrence.

        Raises:
            ValueError: If a text is empty.
            PictureError: If the image cannot be used.
        """
        record = {'sentence': sentence, 'mention': mention, 'images': [] if image is None else [image]}
        if start is not None:
            record |= {'start': start, 'end': start + len(mention)}
        request = LinkRequest.read(record)
        _, tables, lists = self.linker.prepare([request.mention], Candidates.from_lists([[]]), [True])
        return self._opened(request.mention, tables, lists, 0)

    def open_row(self, row: int) -> Opened:
        r"""A mention of the data with its own candidates.

        Args:
            row: Its number.

        Raises:
            IndexError: If there is no such mention.
        """
        if not 0 <= row < len(self.data.mentions):
            raise IndexError(f"There is no mention {row}; there are {len(self.data.mentions):,}")
        return self._opened(self.data.mentions[row], self.data.tables, self.data.candidates, row)

    def _opened(self, mention: Mention, tables: PairTables, candidates: Candidates, row: int) -> Opened:
        rows = torch.tensor([row])
        batch = candidate_batch(tables, candidates, rows, context=self.linker.context)
        opened = Opened(mention, candidates.select(rows), batch.to(next(self.model.parameters()).device),
                        self._answer(mention))
        ranking = self.rank(opened)
        places = {candidate.pair: candidate.place for candidate in ranking.candidates}
        return replace(opened, places=tuple(places[pair] for pair in range(len(places))))

    def _answer(self, mention: Mention) -> int | None:
        row = -1 if mention.answer is None else int(self.data.entities.rows([mention.answer])[0])
        return None if row < 0 else row

    @torch.inference_mode()
    def rank(self, opened: Opened, strength: dict[str, float] | None = None) -> Ranking:
        r"""Ranks the candidates of a mention.

        Args:
            opened: The mention.
            strength: Relation name to how much it counts, 0 (switched off as in the paper, Section 4.5) to 1 (as
                trained) or more: its weights are multiplied by it as they enter each layer, and so are its
                terms of the score. What is left out counts as trained.

        Raises:
            KeyError: If there is no such relation.
        """
        strength = strength or {}
        if unknown := [name for name in strength if name not in RELATIONS]:
            raise KeyError(f"There is no relation {unknown[0]!r}; there are {', '.join(RELATIONS)}")
        strength = {name: value for name, value in strength.items() if value != 1}
        by_type = {RELATIONS[name]: value for name, value in strength.items()}
        if not opened.lists.num_pairs:
            return Ranking(opened.mention, [], *self._decide(torch.empty(0), opened.lists)[1:], bool(strength))
        found = list(depths(self.model, opened.batch, strength=by_type))
        parts = score_terms(self.model, opened.batch, found[-1], by_type)
        scores = total(self.model, parts).float().cpu()                                        # [P]
        weights = pair_weights(opened.batch, [at.weights for at in found])
        terms: dict[str, Tensor] = {}
        for (edge_type, _), value in parts.items():
            terms[edge_type[1]] = terms.get(edge_type[1], 0) + value.float().cpu()             # [P]
        probability, confidence, nil = self._decide(scores, opened.lists)
        candidates = []
        for place, pair in enumerate(scores.argsort(descending=True, stable=True).tolist(), 1):
            entity = int(opened.lists.entity[pair])
            linked = LinkedCandidate(
                self.data.entities[entity], float(scores[pair]), _known(probability[pair]),
                {name: [_known(depth[pair]) for depth in of] for name, of in weights.items()})
            candidates.append(RankedCandidate(
                linked, pair, place, opened.places[pair] if opened.places else place,
                {name: float(value[pair]) for name, value in terms.items()},
                None if opened.answer is None else entity == opened.answer))
        return Ranking(opened.mention, candidates, confidence, nil, bool(strength))

    def _decide(self, scores: Tensor, lists: Candidates) -> tuple[Tensor, float | None, bool | None]:
        probability, (confidence, ) = self.linker.judge(scores, lists)
        return probability, confidence, None if confidence is None else confidence < self.linker.calibration.threshold

    @torch.inference_mode()
    def judge(self, split: str) -> list[Judged]:
        r"""What the model makes of every mention of a split, in their order; computed once.

        Args:
            split: Name of the split.

        Raises:
            ValueError: If there is no such split.
        """
        if split not in self.data.split:
            raise ValueError(f"There is no split '{split}'; there are {', '.join(self.data.split) or 'none at all'}")
        if split not in self._judged:
            self._judged[split] = self._judge(self.data.split[split])
        return self._judged[split]

    def _judge(self, rows: Tensor) -> list[Judged]:
        loader = CandidateLoader(self.data.tables, self.data.candidates, rows, max_pairs=MAX_PAIRS,
                                 context=self.linker.context)
        device = next(self.model.parameters()).device
        scores = torch.cat([self.model(**forward_args(batch.to(device))).float().cpu() for batch in loader])
        lists = self.data.candidates.select(rows)
        probability, confidence = self.linker.judge(scores, lists)
        ranks = gold_ranks(scores, lists).tolist()
        result = []
        for i, row in enumerate(rows.tolist()):
            first, last = int(lists.ptr[i]), int(lists.ptr[i + 1])
            best = first + int(scores[first:last].argmax()) if last > first else None
            sure = confidence[i]
            result.append(Judged(
                row, ranks[i], None if best is None else int(lists.entity[best]),
                self._answer(self.data.mentions[row]), float('nan') if best is None else float(probability[best]),
                None if sure is None else sure < self.linker.calibration.threshold))
        return result


def _known(x: Tensor) -> float | None:
    return None if bool(x.isnan()) else float(x)

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from drin_pyg.datasets import Entity, Mention, Picture, find_span
from drin_pyg.evaluation import relation_scores, z_score
from drin_pyg.features import Candidates, MELData
from drin_pyg.graph import candidate_batch, forward_args, pair_of_edge
from drin_pyg.nn import DRIN
from drin_pyg.training import load_run
from drin_pyg.vocabulary import EDGE_TYPES

NUM_CANDIDATES = 32


@dataclass(frozen=True)
class LinkedCandidate:
    r"""A ranked candidate of a mention.

    Args:
        entity: The entity.
        score: The model's score.
        probability: Softmax of the scores over the candidates that were compared; None for models
            whose score is a cosine, not a logit.
        weights: Relation name to its weight at each depth (entering the first layer, ..., leaving
            the last); None where the pair has no such edge or nothing reads it.
    """

    entity: Entity
    score: float
    probability: float | None
    weights: dict[str, list[float | None]]

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return {'id': self.entity.id, 'name': self.entity.name, 'description': self.entity.description,
                'score': self.score, 'probability': self.probability, 'weights': self.weights}


def format_links(links: Sequence[LinkedCandidate]) -> str:
    r"""Ranked candidates as a table: each relation's first and last weight beside the score."""
    if not links:
        return 'No candidates.'
    relations = list(links[0].weights)
    width = max(len(link.entity.name) for link in links)
    lines = ['  '.join([f'{"":>3}', f'{"entity":<{width}}', f'{"score":>8}', f'{"prob.":>7}',
                        *(f'{name:>16}' for name in relations)])]
    for place, link in enumerate(links, 1):
        cells = []
        for name in relations:
            first, last = (link.weights[name][end] for end in (0, -1))
            cells.append(' -> '.join('-' if weight is None else f'{weight:.2f}' for weight in (first, last)))
        probability = '-' if link.probability is None else f'{link.probability:.1%}'
        lines.append('  '.join([f'{place:>3}', f'{link.entity.name:<{width}}', f'{link.score:>8.3f}',
                                f'{probability:>7}', *(f'{cell:>16}' for cell in cells)]))
    lines.append('Relations: first weight (as it enters the first layer) -> last weight.')
    return '\n'.join(lines)


class Linker:
    r"""Links mentions to the entities of a knowledge base: mention in, ranked candidates out.

    Args:
        model: A trained model.
        data: The data set whose knowledge base and features the model was trained on.
        context: Whose mention vertices the model was trained with.
    """

    def __init__(self, model: DRIN, data: MELData, context: str = 'pair'):
        self.model = model.eval()
        self.data = data
        self.context = context

    @classmethod
    def from_pretrained(cls, folder: str | Path, progress: bool = False) -> 'Linker':
        r"""Reads a folder that ``drin-pyg train`` or ``drin-pyg demo`` wrote.

        Raises:
            FileNotFoundError: If there is no trained model in the folder.
        """
        recipe, model, data = load_run(folder, progress=progress)
        return cls(model, data, recipe.context)

    def link(
        self,
        sentence: str,
        mention: str,
        images: Sequence[str | Path] = (),
        candidates: Sequence[str] | None = None,
        k: int = 5,
    ) -> list[LinkedCandidate]:
        r"""Ranks candidates for one mention.

        Args:
            sentence: The text around the mention.
            mention: The words that mention the entity.
            images: Image files beside the text: none, one or several.
            candidates: Ids of the entities to compare; None retrieves 32: those whose name or
                description has a word of the mention come first, in the order of the summed first
                weights.
            k: How many to return.

        Raises:
            ValueError: If the text is empty, or a candidate is unknown.
            PictureError: If an image is missing or cannot be used.
        """
        for name, text in (('sentence', sentence), ('mention', mention)):
            if not text.strip():
                raise ValueError(f"The {name} is empty; there is nothing to link")
        span = find_span(sentence, mention)
        record = Mention('0', mention, sentence, tuple(Picture(Path(path)) for path in images), span=span)
        for picture in record.pictures:
            picture.open()  # the user named it, so a bad one is an error and not a missing image
        tables = self.data.tables_of([record])
        if candidates is None:
            lists = self._retrieve(tables, mention)
        else:
            rows = self.data.entities.rows(candidates).tolist()
            if -1 in rows:
                raise ValueError(f"The knowledge base has no entity '{candidates[rows.index(-1)]}'")
            lists = Candidates.from_lists([rows])
        lists = self.data.weigh(tables, lists, [record])
        batch = candidate_batch(tables, lists, context=self.context)
        with torch.inference_mode():
            scores, trace = self.model.trace(**forward_args(batch))
        probability = torch.softmax(scores, 0) if self.model.read_relations else torch.full_like(scores, torch.nan)
        weights = pair_weights(batch, trace)
        order = torch.argsort(scores, descending=True, stable=True)[:k].tolist()
        return [
            LinkedCandidate(self.data.entities[int(lists.entity[i])], float(scores[i]), _number(probability[i]),
                            {name: [_number(depth[i]) for depth in depths] for name, depths in weights.items()})
            for i in order
        ]

    def _retrieve(self, tables, mention: str) -> Candidates:
        num_entities = len(self.data.entities)
        everything = Candidates.from_lists([range(num_entities)])
        fused = z_score(relation_scores(tables, everything, torch.tensor([0])), everything).sum(-1)  # [R]
        words = set(re.findall(r'\w+', mention.lower()))
        named = torch.tensor([bool(words & set(re.findall(r'\w+', f'{e.name} {e.description}'.lower())))
                              for e in self.data.entities])
        order = torch.argsort(fused + 1e3 * named, descending=True, stable=True)
        return Candidates.from_lists([order[:NUM_CANDIDATES].tolist()])


def pair_weights(batch, trace: list[dict]) -> dict[str, list[Tensor]]:
    r"""Weights of each relation by pair and depth.

    Args:
        batch: The graphs.
        trace: From :meth:`DRIN.trace`.

    Returns:
        Relation name to one tensor ``[P]`` per depth: a mean over edges if there are several images
        (and over the width of vector edges), NaN where a pair has no such edge or the model does
        not compute it.
    """
    num_pairs, result = batch.entity.numel(), {}
    for edge_type in EDGE_TYPES:
        pair = pair_of_edge(batch, edge_type)
        depths = []
        for weights in trace:
            weight = weights.get(edge_type)
            mean = torch.full((num_pairs, ), torch.nan)
            if weight is not None:
                weight = weight.detach().float().cpu()
                weight = weight.mean(-1) if weight.dim() == 2 else weight
                mean = torch.zeros(num_pairs).index_add_(0, pair, weight) / torch.bincount(pair, minlength=num_pairs)
            depths.append(mean)
        result[edge_type[1]] = depths
    return result


def _number(x: Tensor) -> float | None:
    return None if bool(x.isnan()) else float(x)

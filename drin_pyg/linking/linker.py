import copy
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.utils import cumsum, softmax

from drin_pyg.datasets import Mention
from drin_pyg.evaluation.pair_weights import pair_weights
from drin_pyg.features import Candidates, MELData, PairTables, SideTables, pair_tables, side_tables
from drin_pyg.features.encode_rows import IN_MEMORY
from drin_pyg.features.side_tables import select_mentions
from drin_pyg.graph import CandidateLoader, forward_args
from drin_pyg.linking.calibrating import load_calibration
from drin_pyg.linking.calibration import Calibration
from drin_pyg.linking.candidate_scorer import CandidateScorer
from drin_pyg.linking.entity_index import EntityIndex
from drin_pyg.linking.index_folder import MANIFEST
from drin_pyg.linking.link import Link
from drin_pyg.linking.link_error import LinkError, check_on_error
from drin_pyg.linking.link_request import LinkRequest
from drin_pyg.linking.linked_candidate import LinkedCandidate
from drin_pyg.linking.retriever import Retriever
from drin_pyg.nn import DRIN
from drin_pyg.training import load_run
from drin_pyg.vocabulary import ENTITY_TYPES

INDEX = 'index'  # folder of a run
NUM_CANDIDATES = 32
MAX_PAIRS = 8192  # in one batch of graphs


class Linker:
    r"""Links mentions to the entities of a knowledge base: mention in, ranked candidates out.

    Args:
        model: A trained model.
        data: The data set whose knowledge base and features the model was trained on.
        context: Whose mention vertices the model was trained with.
        calibration: What the model's scores mean; None leaves confidence and the NIL decision open.
        methods: How candidates are retrieved; see :class:`Retriever`. The default reads words, and the
            features that the model reads, pictures among them.
        index: The knowledge base for this model, from ``drin-pyg index`` or
            :meth:`EntityIndex.build`; None computes it when it is first needed.

    Raises:
        ValueError: If the data came as features alone: nothing is known that could encode a mention; or the
            index belongs to another model or knowledge base.
    """

    def __init__(
        self,
        model: DRIN,
        data: MELData,
        context: str = 'pair',
        calibration: Calibration | None = None,
        methods: Sequence[str] = ('bm25', 'features'),
        index: EntityIndex | None = None,
    ):
        if data.preset is None or data.entities is None:
            raise ValueError("This data came as features alone, so new mentions cannot be encoded")
        if index is not None:
            index.check_model(model)
            if index.num_entities != len(data.entities):
                raise ValueError(f"The index has {index.num_entities} entities, the knowledge base "
                                 f"{len(data.entities)}; build the index again")
        self.model = model.eval()
        self.data = data
        self.context = context
        self.calibration = calibration
        self.methods = methods
        self.index = index
        self._preset = copy.copy(data.preset)
        self._preset.how = IN_MEMORY  # mentions that come once are not worth keeping on disk
        self._entities = side_tables(data.tables)[1]

    @classmethod
    def from_pretrained(cls, folder: str | Path, progress: bool = False) -> 'Linker':
        r"""Reads a folder that ``drin-pyg train`` or ``drin-pyg demo`` wrote.

        Raises:
            FileNotFoundError: If there is no trained model in the folder.
            ValueError: If its files are damaged or do not belong together.
        """
        recipe, model, data = load_run(folder, progress=progress)
        index = Path(folder) / INDEX
        index = EntityIndex.load(index, model) if (index / MANIFEST).is_file() else None
        return cls(model, data, recipe.context, load_calibration(folder, model), index=index)

    def link(
        self,
        sentence: str,
        mention: str,
        images: str | Path | Sequence[str | Path] = (),
        candidates: Sequence[str] | None = None,
        k: int = 5,
    ) -> Link:
        r"""Ranks candidates for one mention.

        Args:
            sentence: The text around the mention.
            mention: The words that mention the entity.
            images: Image files beside the text: none, one or several.
            candidates: Ids of the entities to compare; None retrieves 32, or ``k`` if that is more.
            k: How many to return.

        Raises:
            ValueError: If the text is empty, or a candidate is unknown.
            PictureError: If an image is missing or cannot be used.
            ImportError: If candidates are to be retrieved and a library for it is not installed.
        """
        check_count('k', k)
        record = {'sentence': sentence, 'mention': mention, 'images': images,
                  'candidates': None if candidates is None else list(candidates)}
        return self._link([self._read(record)], k)[0]

    def link_many(
        self,
        records: Iterable[dict | str | bytes | Mention],
        k: int = 5,
        *,
        batch_size: int = 64,
        on_error: Literal['raise', 'yield'] = 'raise',
        folder: str | Path | None = None,
    ) -> Iterator[Link | LinkError]:
        r"""Links a stream of mentions, which may have no end: one result for each record, in their order.

        Records are read, encoded and scored ``batch_size`` at a time, as the results are asked for.

        Args:
            records: The mentions, in any form that :meth:`LinkRequest.read` takes: dicts with
                ``"sentence"``, ``"mention"``, ``"images"`` and ``"candidates"``, lines of JSON, or
                :class:`~drin_pyg.datasets.Mention`.
            k: Candidates of each to return.
            batch_size: Mentions handled at once.
            on_error: What happens to a record that :meth:`link` would refuse: ``"raise"`` yields the
                results of those before it and raises; ``"yield"`` yields a :class:`LinkError` in its
                place and goes on.
            folder: What the images of dicts and lines are relative to; None for the working folder.

        Raises:
            ValueError: Naming the number of the record, from 1, and what is wrong with it.
        """
        check_count('k', k)
        check_count('batch_size', batch_size)
        check_on_error(on_error)
        return self._stream(records, k, batch_size, on_error, None if folder is None else Path(folder))

    def _stream(self, records, k: int, batch_size: int, on_error: str, folder: Path | None) \
            -> Iterator[Link | LinkError]:
        waiting: list[LinkRequest | LinkError] = []
        for number, record in enumerate(records, 1):
            try:
                waiting.append(self._read(record, number, folder))
            except (ValueError, RecursionError) as error:  # the latter from JSON that is nested too deeply
                if on_error == 'raise':
                    yield from self._link(waiting, k)
                    raise ValueError(f'Record {number}: {error}') from error
                waiting.append(LinkError(number, record, error))
            if len(waiting) >= batch_size:
                yield from self._link(waiting, k)
                waiting = []
        yield from self._link(waiting, k)

    def _read(self, record: dict | str | bytes | Mention, number: int = 1, folder: Path | None = None) -> LinkRequest:
        request = LinkRequest.read(record, number, folder)
        for name, row in zip(request.candidates or (), self.data.entities.rows(request.candidates or ()), strict=True):
            if row < 0:
                raise ValueError(f"The knowledge base has no entity '{name:.80}'")
        return request

    def _link(self, waiting: Sequence[LinkRequest | LinkError], k: int) -> list[Link | LinkError]:
        requests = [item for item in waiting if isinstance(item, LinkRequest)]
        links = iter(self._link_batch(requests, k) if requests else ())
        return [next(links) if isinstance(item, LinkRequest) else item for item in waiting]

    def _link_batch(self, requests: Sequence[LinkRequest], k: int) -> list[Link]:
        mentions = [request.mention for request in requests]
        given = Candidates.from_lists([self.data.entities.rows(request.candidates or ()).tolist()
                                       for request in requests])
        tables, lists, scores = self.score(mentions, given, [request.candidates is None for request in requests], k)
        chosen = best_pairs(scores, lists, k)  # [C]
        weights = self._explain(tables, lists, chosen)
        probability, confidence = self.judge(scores, lists)
        counts = lists.counts.clamp(max=k).tolist()
        found = iter([
            LinkedCandidate(self.data.entities[int(lists.entity[pair])], float(scores[pair]),
                            _number(probability[pair]),
                            {name: [_number(depth[place]) for depth in depths] for name, depths in weights.items()})
            for place, pair in enumerate(chosen.tolist())
        ])
        return [Link(mention, [next(found) for _ in range(count)], sure,
                     None if sure is None else sure < self.calibration.threshold)
                for mention, count, sure in zip(mentions, counts, confidence, strict=True)]

    def prepare(
        self,
        mentions: Sequence[Mention],
        given: Candidates,
        without: Sequence[bool],
        k: int = 1,
    ) -> tuple[SideTables, PairTables, Candidates]:
        r"""What scoring reads of mentions: features, first weights and candidates.

        Args:
            mentions: ``M`` mentions.
            given: Their candidates, entity rows of the knowledge base.
            without: Whose candidates are to be retrieved, ``M`` of them; their given lists are empty.
            k: How many candidates will be looked at, at most: 32 are retrieved, or ``k`` if that is more.

        Returns:
            Features of the mentions; the same with all entities', for graphs; and the lists.
        """
        side = self._preset.mentions(mentions)
        lists = self._retrieve(mentions, side, given, torch.tensor(without, dtype=torch.bool), k)
        tables = pair_tables(side, self._entities, known=ENTITY_TYPES)
        return side, tables, self.data.weigh(tables, lists, mentions)

    def score(
        self,
        mentions: Sequence[Mention],
        given: Candidates,
        without: Sequence[bool],
        k: int,
    ) -> tuple[PairTables, Candidates, Tensor]:
        r"""Encodes and scores mentions; arguments are those of :meth:`prepare`.

        Returns:
            Tables of the mentions and all entities, the lists that were scored, and their scores ``[P]``.
        """
        side, tables, lists = self.prepare(mentions, given, without, k)
        return tables, lists, self._score(side, tables, lists)

    def _retrieve(self, mentions: Sequence[Mention], side: SideTables, given: Candidates, without: Tensor, k: int) \
            -> Candidates:
        """The given lists, and retrieved ones for the mentions that come ``without`` any, bool ``[M]``."""
        if not bool(without.any()):
            return given
        row = without.nonzero().squeeze(1)
        found = torch.from_numpy(self._retriever([mentions[i] for i in row.tolist()], max(k, NUM_CANDIDATES),
                                                 select_mentions(side, row)))  # [R, K]
        ptr = cumsum(given.counts.masked_fill(without, found.size(1)))
        entity = torch.empty(int(ptr[-1]), dtype=torch.long)
        lists = Candidates(ptr, entity)
        entity[lists.pairs_of(row)] = found.flatten()
        entity[lists.pairs_of((~without).nonzero().squeeze(1))] = given.entity
        return lists

    @cached_property
    def _retriever(self) -> Retriever:
        """Prepared when it is first needed: who brings candidates needs none."""
        return Retriever(self.data.entities, self.methods, side=self._entities)

    def judge(self, scores: Tensor, lists: Candidates) -> tuple[Tensor, list[float | None]]:
        r"""What scores ``[P]`` mean: probability of each pair ``[P]``, NaN if unknown; confidence of each mention."""
        if self.calibration is not None:
            return self.calibration.probability(scores, lists), self.calibration.confidence(scores, lists).tolist()
        known = self.model.read_relations
        probability = softmax(scores, ptr=lists.ptr) if known else torch.full_like(scores, torch.nan)
        return probability, [None] * lists.num_mentions

    @cached_property
    def _scorer(self) -> CandidateScorer:
        index = EntityIndex.build(self.model, self._entities) if self.index is None else self.index
        return CandidateScorer(self.model, index, context=self.context)

    def _score(self, side: SideTables, tables: PairTables, lists: Candidates) -> Tensor:
        """Scores ``[P]``."""
        if not self.model.vector_edges:
            return self._scorer(side, lists)
        with torch.inference_mode():
            return torch.cat([self.model(**forward_args(batch)).float().cpu()
                              for batch in self._batches(tables, lists)])

    def _explain(self, tables: PairTables, lists: Candidates, chosen: Tensor) -> dict[str, list[Tensor]]:
        """:func:`pair_weights` of the chosen pairs ``[C]``."""
        if self.context == 'pair':  # a pair has the same graph in a shorter list
            counts = torch.bincount(lists.mention[chosen], minlength=lists.num_mentions)
            lists = Candidates(cumsum(counts), lists.entity[chosen],
                               weight={edge_type: weight[chosen] for edge_type, weight in lists.weight.items()})
            chosen = torch.arange(chosen.numel())
        with torch.inference_mode():
            parts = [pair_weights(batch, self.model.trace(**forward_args(batch))[1])
                     for batch in self._batches(tables, lists)]
        return {name: [torch.cat([part[name][depth] for part in parts])[chosen] for depth in range(len(depths))]
                for name, depths in parts[0].items()}

    def _batches(self, tables: PairTables, lists: Candidates) -> Iterable[HeteroData]:
        device = next(self.model.parameters()).device
        loader = CandidateLoader(tables, lists, max_pairs=MAX_PAIRS, context=self.context)
        return (batch.to(device) for batch in loader)


def best_pairs(scores: Tensor, lists: Candidates, k: int) -> Tensor:
    r"""The ``k`` best pairs of each list ``[C]``, list by list, best first; of equal ones, the first on the list."""
    order = scores.argsort(descending=True, stable=True)
    order = order[lists.mention[order].argsort(stable=True)]  # [P], best first within each list
    place = torch.arange(order.numel()) - lists.ptr[lists.mention]
    return order[place < k]


def check_count(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"'{name}' must be at least 1, got {value}")


def _number(x: Tensor) -> float | None:
    return None if bool(x.isnan()) else float(x)

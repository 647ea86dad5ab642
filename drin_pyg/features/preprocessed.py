from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from drin_pyg.datasets.drin_preprocessed import DRINPreprocessed
from drin_pyg.datasets.raw_files import located
from drin_pyg.features.candidates import NIL, Candidates
from drin_pyg.features.first_weights import cosine_tables, no_weight_tables, object_similarity
from drin_pyg.features.mel_data import MELData
from drin_pyg.features.pair_tables import PairTables
from drin_pyg.features.side_tables import SideTables, pair_tables, side_tables
from drin_pyg.vocabulary import (
    ENTITY_IMAGE,
    ENTITY_TEXT,
    IMAGE_IMAGE,
    IMAGE_TEXT,
    MENTION_IMAGE,
    MENTION_TEXT,
    TEXT_IMAGE,
    TEXT_TEXT,
)

CHUNK = 4096  # rows or pairs worked on at once
SPLITS = {'valid': 'val'}


def preprocessed_tables(
    dataset: DRINPreprocessed,
    *,
    gold_appended: bool = False,
    dtype: torch.dtype = torch.float32,
) -> tuple[PairTables, Candidates]:
    r"""Tables and candidate lists of a folder in DRIN's preprocessed format, pooled as published.

    Vertices are the mean of the mention's tokens, the mean of its image's regions, the entity's
    pooled text (WikiMEL: the mean of its tokens between [CLS] and [SEP]) and its pooled image. The
    first text-text weight is the cosine of the mention with the entity's pooled text (WikiMEL: its
    [CLS]); text-image and image-text are CLIP logits / 100; image-image compares detected objects.

    Args:
        dataset: The folder.
        gold_appended: Whether to keep the candidate column that holds the answer. This is the
            published protocol and leaks the label: mention vertices average over it.
        dtype: Type of all tables; what is computed from the files is computed in it.

    Returns:
        The tables, and candidates whose ``gold`` is NIL where the retriever missed the answer
        (unless ``gold_appended``: then it is always there).
    """
    def read(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(array)).to(dtype)

    def pool(function: Callable[..., Tensor], array: np.ndarray, *more: Tensor) -> Tensor:
        """A function of rows, applied to pieces of an array that may be larger than memory."""
        return torch.cat([function(read(array[i:i + CHUNK]), *(x[i:i + CHUNK] for x in more))
                          for i in range(0, len(array), CHUNK)])

    num_mentions, num_candidates = len(dataset), dataset.num_candidates
    columns = num_candidates + 1 if gold_appended else num_candidates

    start, end = (torch.from_numpy(np.array(array)) for array in (dataset.start, dataset.end))
    mention_text = pool(_span_mean, dataset.mention_text, start, end)                  # [N, F]
    if dataset.entity_mask is None:
        entity_text = entity_key = read(dataset.entity_text)                           # [Q, F]
    else:
        length = torch.from_numpy(np.array(dataset.entity_mask)).sum(1)
        entity_text = pool(_span_mean, dataset.entity_text, torch.zeros_like(length), length - 2)
        entity_key = read(dataset.entity_text[:, 0])
    num_rows = entity_text.size(0)
    entity_image = read(dataset.entity_image).reshape(num_rows, -1)                    # [Q, G]

    row = torch.from_numpy(dataset.entity_row[:, :columns].astype(np.int64))           # [N, columns]
    objects = read(dataset.mention_objects).squeeze(2)                                 # [N, O, G]
    entity_objects = read(dataset.entity_objects).reshape(num_rows, -1, objects.size(-1))
    scores = read(dataset.mention_object_scores)                                       # [N, O]
    entity_scores = read(dataset.entity_object_scores).reshape(num_rows, -1)
    pair_mention = torch.arange(num_mentions).repeat_interleave(columns)
    image_image = torch.cat([
        object_similarity(objects[m], scores[m], entity_objects[e], entity_scores[e])
        for m, e in zip(pair_mention.split(CHUNK), row.flatten().split(CHUNK), strict=True)
    ])

    none = no_weight_tables(num_mentions, num_rows, dtype)
    with located(dataset.root):  # NaN in it
        tables = PairTables(
            x={
                MENTION_TEXT: mention_text,
                MENTION_IMAGE: pool(lambda regions: regions.mean(1), dataset.mention_image),
                ENTITY_TEXT: entity_text,
                ENTITY_IMAGE: entity_image,
            },
            weight={
                TEXT_TEXT: cosine_tables(mention_text, entity_key),
                TEXT_IMAGE: none,
                IMAGE_TEXT: none,
                IMAGE_IMAGE: none,
            },
        )
    answer = torch.from_numpy(np.array(dataset.answer)).long()                         # [N]
    gold_column = torch.full_like(answer, num_candidates) if gold_appended else answer
    gold = torch.full((num_mentions, ), NIL)
    retrieved = gold_column < columns
    gold[retrieved] = row[retrieved, gold_column[retrieved]]
    with located(dataset.root):
        candidates = Candidates(
            ptr=cumsum(torch.full((num_mentions, ), columns)),
            entity=row.flatten(),
            gold=gold,
            weight={
                TEXT_IMAGE: read(dataset.text_image)[:, :columns].flatten() / 100,
                IMAGE_TEXT: read(dataset.image_text)[:, :columns].flatten() / 100,
                IMAGE_IMAGE: image_image,
            },
        )
    return tables, candidates


def preprocessed_data(folder: str | Path) -> MELData:
    r"""All splits of a folder in DRIN's preprocessed format, as data to train on.

    The appended answers are left out. There are no texts, so no new mention can be encoded.

    Raises:
        FileNotFoundError: Naming the first missing file.
        ValueError: If the arrays do not fit together.
    """
    names = DRINPreprocessed.present_splits(Path(folder))
    datasets = [DRINPreprocessed(folder, name) for name in names]
    parts = [preprocessed_tables(dataset) for dataset in datasets]
    shared = datasets[0].entity_mask is not None  # WikiMEL's splits share the rows of their entities
    sides = [side_tables(tables) for tables, _ in parts]
    mention = _concatenate([side[0] for side in sides])
    entity = sides[0][1] if shared else _concatenate([side[1] for side in sides])
    first = cumsum(torch.tensor([0 if shared else tables.num_entities for tables, _ in parts]))
    lists = [candidates for _, candidates in parts]
    candidates = Candidates(
        ptr=cumsum(torch.cat([part.counts for part in lists])),
        entity=torch.cat([part.entity + start for part, start in zip(lists, first, strict=False)]),
        gold=torch.cat([torch.where(part.gold == NIL, NIL, part.gold + start)
                        for part, start in zip(lists, first, strict=False)]),
        weight={edge_type: torch.cat([part.weight[edge_type] for part in lists]) for edge_type in lists[0].weight},
    )
    mentions = torch.arange(candidates.num_mentions).split([len(dataset) for dataset in datasets])
    split = {SPLITS.get(name, name): rows for name, rows in zip(names, mentions, strict=True)}
    notes = {'features': 'taken over from the files as they are; no encoder was run'}
    return MELData(pair_tables(mention, entity), candidates, split, notes=notes)


def _concatenate(sides: list[SideTables]) -> SideTables:
    """Sides with one image each, one after the other."""
    text = torch.cat([side.text for side in sides])
    return SideTables(text, torch.cat([side.image for side in sides]), torch.arange(text.size(0) + 1),
                      {name: torch.cat([side.weight[name] for side in sides]) for name in sides[0].weight})


def _span_mean(tokens: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Mean of tokens ``start + 1 .. end`` (spans do not count [CLS]) of ``[N, T, F]``; zeros if none."""
    position = torch.arange(tokens.size(1))
    inside = (position > start.unsqueeze(1)) & (position <= end.unsqueeze(1))  # [N, T]
    total = (tokens * inside.unsqueeze(-1)).sum(1)
    return total / inside.sum(1, keepdim=True).clamp(min=1)

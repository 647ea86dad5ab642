import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from drin_pyg.datasets.drin_preprocessed import DRINPreprocessed
from drin_pyg.features.candidates import NIL, Candidates
from drin_pyg.features.first_weights import cosine_tables, no_weight_tables, object_similarity
from drin_pyg.features.pair_tables import PairTables
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

    num_mentions, num_candidates = len(dataset), dataset.num_candidates
    columns = num_candidates + 1 if gold_appended else num_candidates

    start, end = (torch.from_numpy(np.array(array)) for array in (dataset.start, dataset.end))
    mention_text = _span_mean(read(dataset.mention_text), start, end)                  # [N, F]
    entity_text = read(dataset.entity_text)                                            # [Q, F] or [Q, T, F]
    entity_key = entity_text
    if dataset.entity_mask is not None:
        entity_key = entity_text[:, 0]
        length = torch.from_numpy(np.array(dataset.entity_mask)).sum(1)
        entity_text = _span_mean(entity_text, torch.zeros_like(length), length - 2)
    num_rows = entity_text.size(0)
    entity_image = read(dataset.entity_image).reshape(num_rows, -1)                    # [Q, G]

    row = torch.from_numpy(dataset.entity_row[:, :columns].astype(np.int64))           # [N, columns]
    objects = read(dataset.mention_objects).squeeze(2)                                 # [N, O, G]
    entity_objects = read(dataset.entity_objects).reshape(num_rows, -1, objects.size(-1))
    pair_mention = torch.arange(num_mentions).repeat_interleave(columns)
    image_image = object_similarity(
        objects[pair_mention],
        read(dataset.mention_object_scores)[pair_mention],
        entity_objects[row.flatten()],
        read(dataset.entity_object_scores).reshape(num_rows, -1)[row.flatten()],
    )

    none = no_weight_tables(num_mentions, num_rows, dtype)
    tables = PairTables(
        x={
            MENTION_TEXT: mention_text,
            MENTION_IMAGE: read(dataset.mention_image).mean(1),
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


def _span_mean(tokens: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Mean of tokens ``start + 1 .. end`` (spans do not count [CLS]) of ``[N, T, F]``; zeros if none."""
    position = torch.arange(tokens.size(1))
    inside = (position > start.unsqueeze(1)) & (position <= end.unsqueeze(1))  # [N, T]
    total = (tokens * inside.unsqueeze(-1)).sum(1)
    return total / inside.sum(1, keepdim=True).clamp(min=1)

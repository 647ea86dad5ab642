import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from filelock import FileLock
from torch import Tensor
from torch_geometric.utils import cumsum

from drin_pyg.features.candidates import ranges
from drin_pyg.features.text_encoder import Span, TextEncoder
from drin_pyg.files import (
    SHA256,
    cache_folder,
    content_key,
    remove_leftovers,
    stored_key,
    tensor_key,
    to_json,
    write_atomic,
)

logger = logging.getLogger(__name__)

VERSION = 'tokens 1'  # part of the cache key: count it up when what is stored changes


@dataclass(frozen=True, eq=False)
class Sequences:
    r"""Sequences of features of different lengths, one after another: tokens of sentences, regions of pictures.

    Args:
        x: The rows of all sequences, float16 or wider, ``[N, F]``.
        ptr: int64 ``[M + 1]``: sequence ``m`` are the rows ``ptr[m]:ptr[m + 1]``.
        marked: Of tokens, which are the mention's own words, bool ``[N]``.

    Raises:
        ValueError: If they do not belong together.
    """

    x: Tensor
    ptr: Tensor
    marked: Tensor | None = None

    def __post_init__(self) -> None:
        rows = self.x.size(0)
        if self.x.dim() != 2 or self.ptr.numel() == 0 or self.ptr[0] != 0 or self.ptr[-1] != rows \
                or bool((self.ptr.diff() < 0).any()):
            raise ValueError(f"'ptr' must rise from 0 to the number of rows of 'x' [N, F], here {list(self.x.shape)}")
        if self.marked is not None and (self.marked.dtype != torch.bool or self.marked.numel() != rows):
            raise ValueError(f"'marked' must be bool [{rows}], one for each row of 'x', got {self.marked.dtype} "
                             f"{list(self.marked.shape)}")

    @property
    def num_owners(self) -> int:
        """Number of sequences ``M``."""
        return self.ptr.numel() - 1

    @property
    def counts(self) -> Tensor:
        """Length of each sequence, ``[M]``."""
        return self.ptr.diff()

    def select(self, owner: Tensor) -> 'Sequences':
        """The given sequences, int64 ``[B]``, in that order."""
        counts = self.counts[owner]
        rows = ranges(self.ptr[owner], counts)
        return Sequences(self.x[rows], cumsum(counts), None if self.marked is None else self.marked[rows])


def token_sequences(encoder: TextEncoder, texts: Sequence[str], spans: Sequence[Span | None],
                    progress: bool = False) -> Sequences:
    r"""Last hidden states of the tokens of texts, without [CLS], [SEP] and padding; those that a span touches marked.

    A text without a span, or whose span touches no token, has all its tokens marked; one without tokens has its
    [CLS] and [SEP] instead. Each distinct text and span is encoded once. States are float16, and kept in the cache
    folder under a digest of texts and model: a second run, or a process beside this one, finds them there.

    Args:
        encoder: The encoder; its pooling and normalisation play no part.
        texts: The texts, ``M`` of them.
        spans: First character of the mention in each text and the one after its last; None if there is none.
        progress: Whether to show a bar.

    Returns:
        ``M`` sequences.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save

    items = list(zip(texts, spans, strict=True))
    spec = {name: value for name, value in encoder.spec.items() if name not in ('pooling', 'normalize')}
    key = content_key([VERSION, to_json(spec), *(to_json(item) for item in items)])
    path = cache_folder() / f'tokens-{key[:32]}.safetensors'
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix('.lock')):  # a second process waits, then finds the file
        remove_leftovers(path.parent, path.name)
        if path.is_file():
            try:
                tensors = load_file(path)
                if stored_key(path) not in (None, tensor_key(tensors)):
                    raise ValueError('its content is not what was written')
                return Sequences(**tensors)
            except (SafetensorError, TypeError, ValueError) as error:
                logger.warning("'%s' is damaged (%s): encoding the tokens again", path, error)
        found = _encode(encoder, items, progress)
        tensors = {'x': found.x, 'ptr': found.ptr, 'marked': found.marked}
        write_atomic(path, save(tensors, {SHA256: tensor_key(tensors)}))
    return found


def _encode(encoder: TextEncoder, items: list[tuple[str, Span | None]], progress: bool) -> Sequences:
    from tqdm import tqdm

    distinct = list(dict.fromkeys(items))
    distinct = [distinct[i] for i in encoder.order(distinct)]
    parts = [encoder.tokens([])]
    for start in tqdm(range(0, len(distinct), encoder.batch_size), desc='Encoding tokens', disable=not progress,
                      leave=False):
        parts.append(encoder.tokens(distinct[start:start + encoder.batch_size]))
    x, count, marked = (torch.cat(part) for part in zip(*parts, strict=True))
    row = {item: i for i, item in enumerate(distinct)}
    once = Sequences(x, cumsum(count), marked)
    return once.select(torch.tensor([row[item] for item in items], dtype=torch.long))

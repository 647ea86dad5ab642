import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from drin_pyg.features import Candidates, PairTables
from drin_pyg.files import write_atomic
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import RELATIONS


@dataclass(frozen=True)
class Recipe:
    r"""A model and how it is trained, as plain data: what a run saves beside its model.

    Args:
        model: Arguments of :class:`~drin_pyg.nn.DRIN` (``relations`` are names).
        published: Whether to build :meth:`DRIN.published` from them.
        warm_start: Whether to call :func:`warm_start` first.
        context: ``"pair"`` or ``"mention"``.
        loss: ``"softmax"`` or ``"margin"``.
        lr: Learning rate of Adam.
        max_pairs: Pairs per batch.
        max_epochs: Most epochs.
        patience: Epochs without a better validation MRR before stopping.
    """

    model: dict = field(default_factory=dict)
    published: bool = False
    warm_start: bool = True
    context: str = 'pair'
    loss: str = 'softmax'
    lr: float = 5e-4
    max_pairs: int = 2048
    max_epochs: int = 6
    patience: int = 2

    @classmethod
    def paper(cls, context: str = 'mention', **changes) -> 'Recipe':
        r"""The published recipe: margin loss, Adam 1e-3, 64 mentions (of 32 candidates) a batch.

        The paper trains for 30 epochs; the best of them by validation MRR is kept here, so training
        may stop once that has not improved for ``patience`` epochs.
        """
        recipe = cls(published=True, warm_start=False, context=context, loss='margin', lr=1e-3, max_epochs=30)
        return replace(recipe, **changes)

    def build(self, tables: PairTables, candidates: Candidates, mention: Tensor, seed: int) -> DRIN:
        r"""The untrained model, its parameters drawn with ``seed``, started on the training mentions."""
        from drin_pyg.training.warm_start import warm_start

        arguments = dict(self.model)
        if 'relations' in arguments:
            arguments['edge_types'] = [RELATIONS[name] for name in arguments.pop('relations')]
        torch.manual_seed(seed)
        model = DRIN.published(**arguments) if self.published else DRIN(**arguments)
        return warm_start(model, tables, candidates, mention) if self.warm_start else model

    def save(self, path: Path) -> None:
        r"""Writes the recipe as JSON."""
        write_atomic(path, json.dumps(asdict(self), indent=2).encode() + b'\n')

    @classmethod
    def load(cls, path: Path) -> 'Recipe':
        r"""Reads a recipe that :meth:`save` wrote.

        Raises:
            ValueError: If the file is no recipe.
        """
        try:
            return cls(**json.loads(Path(path).read_text(encoding='utf-8')))
        except (TypeError, ValueError) as error:
            raise ValueError(f"'{path}' is no training recipe: {error}") from error

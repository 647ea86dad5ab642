from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drin_pyg.features import Candidates, PairTables
from drin_pyg.files import read_yaml, write_atomic
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import RELATIONS

FORMAT = 1


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
        gold_appended: Whether the graphs hold the answer at the end of every list, as in the published protocol; see
            :func:`~drin_pyg.evaluation.append_gold`.
        swap_images: Share of the training mentions that have another's images, drawn anew every epoch.
    """

    model: dict = field(default_factory=dict)
    published: bool = False
    warm_start: bool = True
    context: str = 'pair'
    loss: str = 'softmax'
    lr: float = 2e-4
    max_pairs: int = 2048
    max_epochs: int = 6
    patience: int = 2
    gold_appended: bool = False
    swap_images: float = 0.0

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

    def changed(self, changes: dict[str, Any], path: str | Path | None = None) -> 'Recipe':
        r"""A recipe with some fields changed.

        Args:
            changes: Field name to value.
            path: The file they came from, for errors.

        Raises:
            ValueError: If there is no such field, or a value is of another kind than the default.
        """
        changes = dict(changes)
        place = f"'{path}': " if path is not None else ''
        default = {f.name: f.default if f.default is not MISSING else f.default_factory() for f in fields(self)}
        for name, value in list(changes.items()):
            if name not in default:
                raise ValueError(f"{place}a training recipe has no '{name}'; it has {', '.join(default)}")
            if isinstance(default[name], float) and isinstance(value, str):  # YAML reads 5e-4 as a word
                with suppress(ValueError):
                    value = changes[name] = float(value)
            kind = (int, float) if isinstance(default[name], float) else type(default[name])
            if not isinstance(value, kind) or isinstance(value, bool) != isinstance(default[name], bool):
                raise ValueError(f"{place}'{name}' of a training recipe must be of type "
                                 f"{type(default[name]).__name__}, got {value!r:.60}")
        return replace(self, **changes)

    def updated(self, path: str | Path) -> 'Recipe':
        r"""A recipe with the fields changed that a YAML file names; errors are those of :meth:`changed`."""
        return self.changed(read_yaml(path, FORMAT), path)

    def save(self, path: Path) -> None:
        r"""Writes the recipe as YAML."""
        import yaml

        write_atomic(path, yaml.safe_dump({'format': FORMAT, **asdict(self)}, sort_keys=False).encode())

    @classmethod
    def load(cls, path: Path) -> 'Recipe':
        r"""Reads a recipe that :meth:`save` wrote, or a person; fields that are not there keep their default.

        Raises:
            ValueError: If the file is no recipe.
        """
        return cls().updated(path)

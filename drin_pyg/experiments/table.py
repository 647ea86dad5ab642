import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drin_pyg.evaluation import paired_test
from drin_pyg.experiments.run_variant import RANKS, RESULT, VAL
from drin_pyg.experiments.variant import Study, Variant
from drin_pyg.files import check_files, own_file, read_record
from drin_pyg.linking.tensor_file import map_tensors

COLUMNS = ('variant', 'condition', 'seeds', 'top1', 'error', 'seed_error', 'mrr', 'val_top1', 'difference',
           'difference_error', 'p', 'q', 'parameters', 'seconds')
HEADS = ('Variant', 'Condition', 'Seeds', 'Top-1 ± error', 'Seed error', 'MRR', 'Val top-1', 'Difference ± error', 'p',
         'q')
NOTHING = '\N{EN DASH}'


@dataclass(frozen=True)
class Line:
    r"""A variant under a condition, over several seeds. Figures are fractions.

    Args:
        variant: The variant.
        condition: What it was tested on.
        hit: Whether the answer was ranked first, by seed and mention, ``[S, M]``.
        mrr: Mean reciprocal rank.
        val_top1: Top-1 on the validation mentions, mean over seeds.
        parameters: Number of parameters; None if nothing was trained.
        seconds: Mean wall time of a run.
    """

    variant: Variant
    condition: str
    hit: np.ndarray
    mrr: float
    val_top1: float
    parameters: int | None
    seconds: float

    @property
    def top1(self) -> float:
        """Top-1 accuracy, mean over seeds."""
        return float(self.hit.mean())

    @property
    def error(self) -> float:
        """Standard error over mentions, of the seeds' mean on each."""
        return float(self.hit.mean(0).std() / self.hit.shape[1]**0.5)

    @property
    def seed_error(self) -> float:
        """Standard error of the mean over seeds; NaN for one seed."""
        return float(self.hit.mean(1).std(ddof=1) / self.hit.shape[0]**0.5) if self.hit.shape[0] > 1 else math.nan


@dataclass(frozen=True)
class Comparison:
    r"""A line against the base under the same condition.

    Args:
        difference: Of top-1.
        error: Its standard error over mentions.
        p: Two-sided p-value of :func:`~drin_pyg.evaluation.paired_test` over mentions, of the means over seeds.
        q: The same, adjusted for the comparisons of the whole table (Benjamini and Hochberg).
    """

    difference: float
    error: float
    p: float
    q: float


class StudyTable:
    r"""The results of a study: a line for each variant and condition, compared with the base.

    Args:
        study: The study.
        lines: The lines, the base's among them.
    """

    def __init__(self, study: Study, lines: list[Line]):
        self.study = study
        self.lines = lines
        self.comparisons = self._compare()

    @classmethod
    def read(cls, study: Study, folders: dict[str, list[Path]]) -> 'StudyTable':
        r"""Reads what :func:`run_variant` wrote.

        Args:
            study: The study.
            folders: Variant name to the folder of each seed.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a run is not what was written, or not of the same mentions as the others, naming its folder.
        """
        lines, sizes = [], {}
        for variant in study.variants:
            facts, ranks = zip(*map(read_result, folders[variant.name]), strict=True)
            for folder, of_seed in zip(folders[variant.name], ranks, strict=True):
                if of_seed.keys() != ranks[0].keys() or any(sizes.setdefault(name, rank.size) != rank.size
                                                            for name, rank in of_seed.items()):
                    raise ValueError(f"The run in '{folder}' was tested on other mentions than the others; remove that "
                                     f"folder to have it run again")
            val = float(np.mean([np.mean(rank[VAL] <= 1) for rank in ranks]))
            for condition in (name for name in sorted(ranks[0]) if name != VAL):
                rank = np.stack([of_seed[condition] for of_seed in ranks])  # [S, M]
                lines.append(Line(variant, condition, (rank <= 1).astype(float), float((1 / rank).mean()), val,
                                  facts[0].get('parameters'), float(np.mean([f['seconds'] for f in facts]))))
        return cls(study, lines)

    def _compare(self) -> list[Comparison | None]:
        from scipy.stats import false_discovery_control

        base = {line.condition: line for line in self.lines if line.variant.name == self.study.base}
        found = {}
        for i, line in enumerate(self.lines):
            other = base.get(line.condition)
            if other is None or other is line:
                continue
            a, b = line.hit.mean(0), other.hit.mean(0)
            found[i] = (line.top1 - other.top1, float((a - b).std() / a.size**0.5), paired_test(a, b))
        q = false_discovery_control([p for *_, p in found.values()]) if found else []
        adjusted = {i: Comparison(*values, float(q[place])) for place, (i, values) in enumerate(found.items())}
        return [adjusted.get(i) for i in range(len(self.lines))]

    def rows(self) -> list[dict]:
        r"""The lines as plain numbers, by :data:`COLUMNS`; None where there is none."""
        rows = []
        for line, comparison in zip(self.lines, self.comparisons, strict=True):
            c = comparison
            values = (line.variant.name, line.condition, line.hit.shape[0], line.top1, line.error,
                      None if math.isnan(line.seed_error) else line.seed_error, line.mrr, line.val_top1,
                      *((None, ) * 4 if c is None else (c.difference, c.error, c.p, c.q)), line.parameters,
                      line.seconds)
            rows.append(dict(zip(COLUMNS, values, strict=True)))
        return rows

    def csv(self) -> str:
        r"""The table as CSV."""
        file = io.StringIO()
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(self.rows())
        return file.getvalue()

    def cells(self) -> list[list[str]]:
        r"""The table as text, by :data:`HEADS`, in percent."""
        table = []
        for row in self.rows():
            compared = row['p'] is not None
            table.append([
                row['variant'], row['condition'], str(row['seeds']),
                f'{100 * row["top1"]:.1f} ± {100 * row["error"]:.1f}',
                NOTHING if row['seed_error'] is None else f'{100 * row["seed_error"]:.1f}',
                f'{row["mrr"]:.3f}', f'{100 * row["val_top1"]:.1f}',
                f'{100 * row["difference"]:+.1f} ± {100 * row["difference_error"]:.1f}' if compared else NOTHING,
                p_value(row['p']), p_value(row['q']),
            ])
        return table

    def markdown(self) -> str:
        r"""The table in Markdown; the column of conditions is there if there are several."""
        several = len({line.condition for line in self.lines}) > 1
        keep = [i for i, head in enumerate(HEADS) if several or head != 'Condition']
        align = ['---' if HEADS[i] in ('Variant', 'Condition') else '---:' for i in keep]
        rows = [[HEADS[i] for i in keep], align, *([row[i] for i in keep] for row in self.cells())]
        return '\n'.join('| ' + ' | '.join(row) + ' |' for row in rows)

    def format(self) -> str:
        r"""The table for a terminal."""
        rows = [list(HEADS), *self.cells()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS))]
        lines = ['  '.join(f'{cell:<{w}}' if i < 2 else f'{cell:>{w}}'
                           for i, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]
        return '\n'.join([f'{self.study.name}: {self.study.question}', *lines])


def read_result(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    r"""What :func:`run_variant` wrote of a run.

    Args:
        folder: The run's folder.

    Returns:
        The record of the run, and the rank of each answer, ``[M]``, by condition.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If one is not what was written, naming the folder.
    """
    try:
        facts = read_record(folder / RESULT)
        check_files(folder, facts, 'it was changed')
        ranks = {name: rank.numpy() for name, rank in map_tensors(own_file(folder, RANKS)).items()}
        if VAL not in ranks or not all(rank.ndim == 1 and rank.size and (rank >= 1).all() for rank in ranks.values()):
            raise ValueError('its ranks are none')
        if not all(type(value) in (int, float) for value in (facts['seconds'], facts.get('parameters', 0))):
            raise ValueError('its figures are no numbers')
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"The run in '{folder}' is damaged: {str(error)[:1000]}; remove that folder to have it run "
                         f"again") from error
    return facts, ranks


def p_value(p: float | None) -> str:
    r"""A p-value as a table shows it."""
    if p is None:
        return NOTHING
    return '< .001' if p < 0.001 else f'{p:.3f}'.removeprefix('0')

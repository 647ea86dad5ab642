r"""Experiments: studies of several variants and seeds, from a question to a table with error bars."""

from drin_pyg.experiments.ablate import ablate, check_results
from drin_pyg.experiments.studies import STUDIES, make_study
from drin_pyg.experiments.table import StudyTable
from drin_pyg.experiments.variant import Study, Variant

__all__ = ['STUDIES', 'Study', 'StudyTable', 'Variant', 'ablate', 'check_results', 'make_study']

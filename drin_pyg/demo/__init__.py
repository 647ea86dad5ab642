r"""The main job: train, compare, report."""

from drin_pyg.demo.report import format_table, write_report
from drin_pyg.demo.results import Results
from drin_pyg.demo.run import run_demo

__all__ = ['Results', 'format_table', 'run_demo', 'write_report']

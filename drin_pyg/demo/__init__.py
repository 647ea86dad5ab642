r"""The main job: train, compare, report."""

from drin_pyg.demo.report import format_table, write_report
from drin_pyg.demo.results import Results
from drin_pyg.demo.run import run_demo
from drin_pyg.demo.table import plain_results

__all__ = ['Results', 'format_table', 'plain_results', 'run_demo', 'write_report']

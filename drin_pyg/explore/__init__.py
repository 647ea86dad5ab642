r"""A page to explore a trained model in a browser: ``drin-pyg explore``."""

from drin_pyg.explore.explorer import Explorer
from drin_pyg.explore.page import launch, make_page

__all__ = ['Explorer', 'launch', 'make_page']

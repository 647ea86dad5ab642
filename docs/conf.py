"""Settings of the documentation: `make docs` writes docs/_build/index.html, without a network."""

import sys
import warnings
from pathlib import Path

# What libraries say about themselves when PyG or Lightning is imported; nothing a reader can act on.
warnings.filterwarnings('ignore', category=FutureWarning)

sys.path.insert(0, str(Path(__file__).parent / 'extensions'))

import drin_pyg  # noqa: E402

project = 'drin_pyg'
author = 'The drin_pyg contributors'
copyright = author
release = version = drin_pyg.__version__

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'command_pages',
    'mathml',
    'outside_links',
    'public_names',
]
exclude_patterns = ['_build', 'jupyter_execute']  # both are written by the build

myst_enable_extensions = ['deflist', 'dollarmath', 'fieldlist']
nb_execution_mode = 'off'  # outputs are stored; `make notebooks` makes them anew
nb_code_prompt_show = 'How this is drawn'
nb_code_prompt_hide = 'How this is drawn'
myst_heading_anchors = 3  # so that links to headings work as they do on the code's own site

autosummary_generate = False  # the tables link to the same page
autodoc_default_options = {'special-members': '__call__'}
autodoc_member_order = 'bysource'
autodoc_typehints_format = 'short'
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # what torch says of every module is not news
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = ['Shapes']
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = 'hide'

highlight_language = 'text'  # blocks that name no language are commands and what they print

html_theme = 'furo'
html_title = f'drin_pyg {release}'
html_math_renderer = 'mathml'
html_static_path = ['_static']
html_css_files = ['style.css']
html_copy_source = False
html_show_sphinx = False
pygments_style = 'friendly'
pygments_dark_style = 'monokai'

"""The directive `public-names`: a table of all names in a module's `__all__`, then the documentation of each.

At the end of the build every public name must be in the inventory, so that a new name cannot be forgotten.
"""

import inspect
from importlib import import_module

from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

# Folders of the package whose `__all__` is public, in the order of a mention's way through them.
PACKAGES = ['datasets', 'features', 'graph', 'nn', 'baselines', 'evaluation', 'training', 'linking', 'experiments',
            'explore']

log = logging.getLogger(__name__)


def described(name: str, value: object) -> list[str]:
    """The directives that document one name."""
    if inspect.isclass(value):
        kind = 'autoexception' if issubclass(value, Exception) else 'autoclass'
        return [f'.. {kind}:: {name}', '   :members:', '']
    if inspect.isfunction(value):
        return [f'.. autofunction:: {name}', '']
    # Autodoc would show what Python says of every dict and number.
    what = f'Maps {", ".join(f"``{key!r}``" for key in value)}.' if isinstance(value, dict) else f'``{value!r}``'
    module, _, short = name.rpartition('.')
    return [f'.. py:data:: {short}', f'   :module: {module}', '', f'   {what}', '']


class PublicNames(SphinxDirective):
    required_arguments = 1

    def run(self) -> list:
        module = import_module(self.arguments[0])
        values = {name: getattr(module, name) for name in sorted(module.__all__, key=str.lower)}
        listed = [name for name, value in values.items() if inspect.isclass(value) or inspect.isfunction(value)]
        lines = [f'.. automodule:: {module.__name__}', '', '.. autosummary::', '   :nosignatures:', '']
        lines += [*(f'   {name}' for name in listed), '']
        for name, value in values.items():
            lines += described(f'{module.__name__}.{name}', value)
        return self.parse_text_to_nodes('\n'.join(lines))


def missing_names(documented: set[str]) -> list[str]:
    """Public names that are not among the documented ones; the package's own index may only repeat others."""
    folders = [import_module(f'drin_pyg.{folder}') for folder in PACKAGES]
    missing = [name for module in folders for short in module.__all__
               if (name := f'{module.__name__}.{short}') not in documented]
    index = import_module('drin_pyg')
    for short in index.__all__:
        if f'{index._HOME[short]}.{short}' not in documented:
            missing.append(f'drin_pyg.{short}')
    return missing


def check(app, env) -> None:
    """Warns of public names that no page documents; `make docs` makes warnings errors."""
    documented = {name for name, *_ in env.domains['py'].get_objects()}
    for name in missing_names(documented):
        log.warning("no page documents the public name '%s'; its package needs a page in docs/reference", name)


class KeepSentences:
    """Napoleon takes the first words of a comment on a variable for its type if a colon follows: puts them back."""

    def __init__(self):
        self.lines = []

    def before(self, app, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
        self.lines = list(lines)

    def after(self, app, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
        if what in ('attribute', 'data', 'property'):
            lines[:] = self.lines


def setup(app) -> dict:
    app.add_directive('public-names', PublicNames)
    app.connect('env-check-consistency', check)
    keep = KeepSentences()
    app.connect('autodoc-process-docstring', keep.before, priority=400)  # Napoleon's is 500
    app.connect('autodoc-process-docstring', keep.after, priority=600)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}

r"""What the shell completes beyond commands, options and their fixed choices. Nothing here may load PyTorch."""

from collections.abc import Callable
from glob import escape, glob
from pathlib import Path

from drin_pyg.vocabulary import RELATIONS

DEPTH, MOST = 3, 50  # how deep folders are looked for, and how many are shown

# Names that live in modules which load PyTorch; a test holds them equal to what is there.
STUDIES = ('edges', 'relations', 'depth', 'context', 'sharing', 'loss', 'recipe', 'baselines', 'swapped', 'protocol',
           'images', 'graphs')
PRESETS = ('offline', 'text', 'paper', 'clip')
METHODS = ('name', 'bm25', 'dense')
BINDINGS = ('sentence', 'words', 'image', 'near_image', 'sentence_and_image', 'answer', 'surface_and_answer')


def words(*known: str) -> Callable[[str], list[str]]:
    r"""A completion of fixed words."""
    def complete(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return complete


def folders_with(marker: str, *known: str) -> Callable[[str], list[str]]:
    r"""A completion of folders that hold a file, and of words once they are begun.

    Where nothing is found, the shell completes files as it does anywhere.

    Args:
        marker: Name of the file.
        *known: Words beside the folders.
    """
    def complete(incomplete: str) -> list[str]:
        found = [str(Path(path).parent) for depth in range(DEPTH)
                 for path in sorted(glob(f'{escape(incomplete)}*{"/*" * depth}/{marker}'))]
        return [word for word in known if incomplete and word.startswith(incomplete)] + found[:MOST]

    return complete


complete_relation = words(*RELATIONS)
complete_study, complete_preset, complete_method = words(*STUDIES), words(*PRESETS), words(*METHODS)
complete_binding = words(*BINDINGS)
complete_run = folders_with('run.json')
complete_tables = folders_with('tables.json', 'emoji')
complete_source = folders_with('mentions.jsonl', 'emoji')

r"""Executes notebooks and stores what they print and draw, without times and versions that would change every time.

`python examples/notebooks/execute.py` does all of them in place (`make notebooks`), given names only those.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
METADATA = {'kernelspec': {'display_name': 'Python 3', 'language': 'python', 'name': 'python3'},
            'language_info': {'name': 'python'}}


def execute(path: Path, folder: Path, timeout: int = 600) -> nbformat.NotebookNode:
    """The notebook with fresh outputs, executed in ``folder``; raises CellExecutionError at the first error."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=timeout, kernel_name='python3', record_timing=False,
                            coalesce_streams=True, resources={'metadata': {'path': str(folder)}})
    client.execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def main(names: list[str]) -> None:
    """Executes notebooks in place."""
    for path in [Path(name) for name in names] or sorted(FOLDER.glob('*.ipynb')):
        with TemporaryDirectory() as folder:
            notebook = execute(path, Path(folder))
        path.write_text(nbformat.writes(notebook) + '\n', encoding='utf-8', newline='\n')
        print(f'{path}: {path.stat().st_size / 1000:.0f} kB')


if __name__ == '__main__':
    main(sys.argv[1:])

"""Notebooks lie in examples/, where people look for them, and are pages of the site: they are copied into it.

Pages may also link to files outside of docs/, which a reader of the sources can follow and the site does not hold. Such
a link leads to the page that shows the file, where there is one; otherwise its text stays.
"""

import re
from pathlib import Path

# Folder of the site to the folder outside whose notebooks are its pages.
SHOWN = {'notebooks': '../examples/notebooks'}

LINK = re.compile(r'(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)')


def copy_pages(docs: Path) -> None:
    """Brings the copies up to date; what did not change keeps its time, so that Sphinx need not read it again."""
    for folder, outside in SHOWN.items():
        (docs / folder).mkdir(exist_ok=True)
        pages = {path.name: path.read_bytes() for path in (docs / outside).glob('*.ipynb')}
        for copy in (docs / folder).glob('*.ipynb'):
            if copy.name not in pages:
                copy.unlink()
            elif copy.read_bytes() == pages[copy.name]:
                del pages[copy.name]
        for name, text in pages.items():
            (docs / folder / name).write_bytes(text)


def replace_links(text: str, folder: Path, docs: Path) -> str:
    """Markdown of a file in ``folder`` with its links as the site has them."""
    def link(match: re.Match) -> str:
        label, path, anchor = match.groups()
        target = (folder / path).resolve()
        page = _page(target, docs)
        if not target.exists() or (page == target and folder.is_relative_to(docs)):
            return match[0]  # Sphinx says what is wrong with a broken one
        return f'[{label}](/{page.relative_to(docs).as_posix()}{anchor or ""})' if page else label

    return LINK.sub(link, text)


def _page(path: Path, docs: Path) -> Path | None:
    """The file of the site that shows a file."""
    for folder, outside in SHOWN.items():
        if path.parent == (docs / outside).resolve() and path.suffix == '.ipynb':
            return docs / folder / path.name
    return path if path.is_relative_to(docs) else None


def read(app, docname: str, source: list[str]) -> None:
    docs = Path(app.srcdir).resolve()
    folder = docs / SHOWN.get(docname.partition('/')[0] if '/' in docname else '', Path(docname).parent)
    source[0] = replace_links(source[0], folder.resolve(), docs)


def setup(app) -> dict:
    app.connect('builder-inited', lambda app: copy_pages(Path(app.srcdir)))
    app.connect('source-read', read)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}

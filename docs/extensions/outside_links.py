"""Pages may link to files outside of docs/, which a reader of the sources can follow and the site does not hold.

Such a link leads to the page that shows the file, where there is one; otherwise its text stays.
"""

import re
from pathlib import Path

# Files outside that are a page of the site: they are shown in place of what the page's own source says.
SHOWN = {'benchmarks': '../benchmarks/README.md'}
PAGES = {path: f'{page}.md' for page, path in SHOWN.items()}

LINK = re.compile(r'(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)')


def replace_links(text: str, folder: Path, docs: Path) -> str:
    """Markdown of a file in ``folder`` with its links as the site has them."""
    def link(match: re.Match) -> str:
        label, path, anchor = match.groups()
        target = (folder / path).resolve()
        if target.is_relative_to(docs) or not target.exists():  # Sphinx says what is wrong with a broken one
            return match[0]
        page = next((page for outside, page in PAGES.items() if (docs / outside).resolve() == target), None)
        return f'[{label}]({page}{anchor or ""})' if page else label

    return LINK.sub(link, text)


def read(app, docname: str, source: list[str]) -> None:
    docs = Path(app.srcdir)
    folder = (docs / docname).parent
    if docname in SHOWN:
        path = docs / SHOWN[docname]
        app.env.note_dependency(str(path))
        folder, source[0] = path.parent, path.read_text(encoding='utf-8')
    source[0] = replace_links(source[0], folder.resolve(), docs.resolve())


def setup(app) -> dict:
    app.connect('source-read', read)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}

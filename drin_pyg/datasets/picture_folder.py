import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath

from drin_pyg.datasets.findings import Findings
from drin_pyg.datasets.picture import Picture

SUFFIXES = frozenset(('.bmp', '.gif', '.jfif', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp'))
# No type name is spelled out here: these are the folder names of published layouts.
OF_MENTIONS = ('mention_im*', '[Ii]mage*', '[Ii]mg*')
OF_ENTITIES = ('kb_im*', 'entity_im*')
OF_BOTH = ('*[Ii]mage*', '*[Ii]mg*')


class PictureFolder:
    r"""The pictures of a data set by file name, whatever their suffix; folders are listed once, at the first search.

    Args:
        folder: Folder of the data set.
        given: The folder with the pictures, absolute or relative to ``folder``; None for all its
            sub-folders that match ``patterns``.
        patterns: Patterns of names, in the order of precedence.
        findings: Where missing pictures are counted.

    Raises:
        FileNotFoundError: If ``given`` is no folder.
    """

    def __init__(self, folder: Path, given: str | Path | None, patterns: tuple[str, ...], findings: Findings):
        if given is not None:
            if not (folder / given).is_dir():
                raise FileNotFoundError(f"There is no folder '{folder / given}' with pictures")
            self.folders = [folder / given]
        else:
            found = (path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_dir())
            self.folders = list(dict.fromkeys(found))
        self._findings = findings

    def find(self, names: Iterable[str], owner: str | None) -> tuple[Picture, ...]:
        r"""The pictures with the given names.

        A picture is found under its very name or its stem, with any suffix; an empty name is no
        picture.

        Args:
            names: File names, with or without suffix.
            owner: Whose pictures they are, for counting those that are not there; None if nothing
                says that they exist.
        """
        pictures = []
        for name in filter(None, (name.strip() for name in names)):
            place = PurePosixPath(name)
            # Only a known suffix comes off: a dot may be part of a stem. SVG is stored converted.
            stem = place.stem if place.suffix.lower() in SUFFIXES | {'.svg'} else place.name
            if path := self._paths.get(place.name) or self._paths.get(stem):
                pictures.append(Picture(Path(path)))
            elif owner is not None:
                self._findings.add('missing_picture', f'{stem} of {owner}')
        return tuple(pictures)

    @cached_property
    def _paths(self) -> dict[str, str]:
        """Every picture's path by name and by stem; of those with one stem, the first in the order of names."""
        paths: dict[str, str] = {}
        for folder in self.folders:
            for name in sorted(os.listdir(folder)):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in SUFFIXES:
                    paths.setdefault(stem, os.path.join(folder, name))
                    paths.setdefault(name, os.path.join(folder, name))
        return paths

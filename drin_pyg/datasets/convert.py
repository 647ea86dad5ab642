import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from drin_pyg.datasets.mel_dataset import MELDataset
from drin_pyg.datasets.mel_folder import ENTITIES, MENTIONS
from drin_pyg.datasets.picture import Picture, PictureError
from drin_pyg.datasets.picture_folder import SUFFIXES
from drin_pyg.datasets.records import Entity, Mention
from drin_pyg.files import temporary_name


def convert(dataset: MELDataset, target: str | Path, copy_images: bool = False) -> None:
    r"""Writes a data set in the canonical form that :class:`MELFolder` reads.

    The folder appears whole or not at all. Cells of sprite sheets become files of their own, in
    ``images/``; other pictures are referred to where they lie, or copied there.

    Args:
        dataset: The data set.
        target: The folder to write; it must not exist, or be empty.
        copy_images: Whether to copy pictures into the folder, so that it can be moved.

    Raises:
        FileExistsError: If ``target`` holds something.
    """
    # A part of a data set, `dataset[:10]`, is asked for its own mentions alone.
    mentions = [dataset.mentions[i] for i in dataset.indices()]
    write_mel_folder(dataset.entities, mentions, target, copy_images)


def write_mel_folder(
    entities: Iterable[Entity],
    mentions: Iterable[Mention],
    target: str | Path,
    copy_images: bool = False,
) -> None:
    r"""Writes records in the canonical form; see :func:`convert`."""
    target = Path(target).resolve()  # through links, for references that go up from it
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"'{target}' is already there; name another folder or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(target)
    temporary.mkdir()
    try:
        images = _Images(temporary, target, copy_images)
        _write_lines(temporary / ENTITIES, (_entity_line(entity, images) for entity in entities))
        mentions = list(mentions)
        with_split = any(mention.split for mention in mentions)
        _write_lines(temporary / MENTIONS, (_mention_line(mention, images, with_split) for mention in mentions))
        if target.exists():
            target.rmdir()
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_lines(path: Path, lines: Iterable[dict]) -> None:
    # Half of a surrogate pair has no UTF-8; what replaces it, \udxxx, is how JSON spells it.
    with open(path, 'w', encoding='utf-8', errors='backslashreplace') as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + '\n')
        file.flush()
        os.fsync(file.fileno())


def _entity_line(entity: Entity, images: '_Images') -> dict:
    line = {'id': entity.id, 'name': entity.name, 'description': entity.description}
    return line | images.field(entity.pictures)


def _mention_line(mention: Mention, images: '_Images', with_split: bool) -> dict:
    line: dict = {'id': mention.id, 'sentence': mention.sentence, 'mention': mention.surface}
    if mention.span is not None:
        line['start'], line['end'] = mention.span
    line |= images.field(mention.pictures)
    if mention.captions:
        line['captions'] = list(mention.captions)
    if mention.nil or mention.answer is not None:
        line['answer'] = mention.answer
    if mention.candidates:
        line['candidates'] = list(mention.candidates)
    if with_split:
        line['split'] = mention.split
    return line


@dataclass
class _Images:
    """Where pictures of a folder under construction are, as paths relative to it."""

    folder: Path
    target: Path
    copy: bool
    names: dict[Picture, str] = field(default_factory=dict)

    def field(self, pictures: tuple[Picture, ...]) -> dict[str, list[str]]:
        return {'images': [self._name(picture) for picture in pictures]} if pictures else {}

    def _name(self, picture: Picture) -> str:
        if picture not in self.names:
            self.names[picture] = self._place(picture)
        return self.names[picture]

    def _place(self, picture: Picture) -> str:
        try:
            if picture.box is not None:
                image = picture.open()
                path = self._new(f'{image.size}'.encode() + image.tobytes(), '.png')
                if not path.exists():
                    image.save(path)
            elif self.copy and picture.path.is_file():
                # Records may come from a stranger, and what is copied be given away: no file that is no picture by
                # its own name or content. A broken picture is copied for a reader to count.
                if picture.path.resolve().suffix.lower() not in SUFFIXES:
                    picture.open()
                content = picture.path.read_bytes()
                path = self._new(content, picture.path.suffix)
                path.write_bytes(content)
            else:
                return self._reference(picture.path)
        except (PictureError, PermissionError):  # left where it is missed or broken, for a reader to count
            return self._reference(picture.path)
        return path.relative_to(self.folder).as_posix()

    def _reference(self, path: Path) -> str:
        # Links on the way are followed first: to the system, '..' after a link leads up from where the link points.
        return Path(os.path.relpath(Path(os.path.realpath(path.parent), path.name), self.target)).as_posix()

    def _new(self, content: bytes, suffix: str) -> Path:
        (self.folder / 'images').mkdir(exist_ok=True)
        return self.folder / 'images' / f'{hashlib.sha256(content).hexdigest()[:24]}{suffix}'

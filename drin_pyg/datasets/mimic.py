r"""The cleaned layout that MIMIC published three data sets in, told apart by the prefix of their files.

``<prefix>_{train,dev,test}.json``: lists of ``{id, mentions, sentence, imgPath, entities, answer,
cands?}``, one mention a record; ``kb_entity.json``: a list of ``{id, qid, type, entity_name, attr,
image_list}``; ``qid2id.json``: QID to number. Entities are known by QID, their description is
``attr``. There are no candidates (the whole knowledge base is ranked) unless a variant adds
``cands``: QIDs, or numbers of ``qid2id.json``. Rows in errors count from 0.
"""

from collections.abc import Iterator
from pathlib import Path

from drin_pyg.datasets.knowledge_base import EntityList
from drin_pyg.datasets.picture_folder import PictureFolder
from drin_pyg.datasets.raw_files import NIL, check, decode_title, field, identifier, located, read_json
from drin_pyg.datasets.records import Entity, Mention

WORDS = {'train': 'train', 'val': 'dev', 'test': 'test'}
ENTITIES, NUMBERS = 'kb_entity.json', 'qid2id.json'


def recognises(folder: Path, prefix: str) -> bool:
    r"""Whether a folder holds mentions in this layout."""
    return any((folder / f'{prefix}_{word}.json').is_file() for word in WORDS.values())


def required_files(folder: Path, prefix: str) -> list[Path]:
    r"""The files of a folder in this layout."""
    return [folder / name for name in (*(f'{prefix}_{word}.json' for word in WORDS.values()), ENTITIES, NUMBERS)]


def read_entities(folder: Path, images: PictureFolder) -> EntityList:
    r"""The knowledge base."""
    path, entities = folder / ENTITIES, []
    for row, record in enumerate(read_json(path, list)):
        with located(path, f'row {row}'):
            qid = field(record, 'qid', str).strip()
            entities.append(Entity(
                id=qid,
                name=decode_title(field(record, 'entity_name', str)),
                description=field(record, 'attr', str, ''),
                pictures=images.find(field(record, 'image_list', list, []), f'entity {qid}'),
            ))
    return EntityList(entities)


def read_mentions(folder: Path, prefix: str, images: PictureFolder, split: str | None = None) -> Iterator[Mention]:
    r"""The mentions of a split; of all for None."""
    numbers = read_json(folder / NUMBERS, dict)
    with located(folder / NUMBERS):
        qids = {check(number, int, f"the number of '{qid}'"): qid.strip() for qid, number in numbers.items()}
    for name, word in WORDS.items():
        if split in (None, name):
            path = folder / f'{prefix}_{word}.json'
            for row, record in enumerate(read_json(path, list)):
                with located(path, f'row {row}'):
                    mention = _mention(record, name, images, qids)
                yield mention


def _mention(record: object, split: str, images: PictureFolder, qids: dict[int, str]) -> Mention:
    name = identifier(record)
    answer = field(record, 'answer', str, '').strip()
    nil = answer.lower() == NIL
    cands = record.get('cands') or []
    if not isinstance(cands, list):
        raise ValueError(f"'cands' must be a list, got {cands!r:.60}")
    return Mention(
        id=name,
        surface=field(record, 'mentions', str),
        sentence=field(record, 'sentence', str),
        pictures=images.find([field(record, 'imgPath', str, '')], f'mention {name}'),
        answer=None if nil or not answer else answer,
        candidates=tuple(_qid(value, qids) for value in cands),
        split=split,
        nil=nil,
    )


def _qid(value: object, qids: dict[int, str]) -> str:
    if isinstance(value, int) and value not in qids:
        raise ValueError(f"candidate number {value} is not in {NUMBERS}")
    return qids[value] if isinstance(value, int) else check(value, str, "each of 'cands'").strip()

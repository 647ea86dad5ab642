from pathlib import Path

import numpy as np

from drin_pyg.datasets.raw_files import check, located, read_array, read_json

WIKIDIVERSE, WIKIMEL = 'wikidiverse', 'wikimel'
NUMBERS, WHOLE, TEXT = 'fiub', 'iu', 'U'  # kinds of NumPy's dtypes


class DRINPreprocessed:
    r"""A folder of ``.npy`` features in the format that the published DRIN code reads.

    Arrays are memory-mapped and stay as they are on disk; :func:`drin_pyg.features.preprocessed_tables`
    turns them into tables for the graphs. Which of the two layouts a folder has (WikiDiverse: one
    entity row per candidate; WikiMEL: one row per entity and a name per candidate) is read off its
    files.

    The last of a mention's ``r + 1`` candidate columns is the answer, which the original authors
    appended to every list, at test time too. It is a label leak and not used unless asked for.

    Args:
        root: The folder.
        split: ``"train"``, ``"valid"`` or ``"test"``.

    Raises:
        FileNotFoundError: Naming the first missing file.
        ValueError: If the arrays do not fit together.
    """

    splits = ('train', 'valid', 'test')

    def __init__(self, root: str | Path, split: str = 'test'):
        if split not in self.splits:
            raise ValueError(f"A preprocessed folder has the splits {', '.join(self.splits)}; got {split!r}")
        self.root = Path(root)
        self.split = split
        if not self.root.is_dir():
            raise FileNotFoundError(f"'{self.root}' is no folder; give one with '.npy' files in DRIN's format")
        self._num_rows: dict[str, int] = {}
        self.layout = WIKIMEL if (self.root / 'qid2idx.json').is_file() else WIKIDIVERSE

        mention, entity = 'mention', 'entity'  # what the rows of an array are
        self.mention_text = self._load(f'mention-text-feature_{split}', mention, 3)    # [N, T, F]
        self.mention_mask = self._load(f'mention-text-mask_{split}', mention, 2)       # [N, T]
        self.start = self._load(f'start-pos_{split}', mention, 1, WHOLE)                      # [N], without [CLS]
        self.end = self._load(f'end-pos_{split}', mention, 1, WHOLE)                          # [N], exclusive
        self.mention_image = self._load(f'mention-image-feature_{split}', mention, 3)  # [N, regions, G]
        self.mention_objects = self._load(f'mention-object-feature_{split}', mention, 4)       # [N, O, 1, G]
        self.mention_object_scores = self._load(f'mention-object-score_{split}', mention, 2)   # [N, O]
        self.image_text = self._load(f'similarity-miet_{split}', mention, 2)           # [N, r + 1], CLIP logits
        self.text_image = self._load(f'similarity-eimt_{split}', mention, 2)           # [N, r + 1]
        self.answer = self._load(f'answer_{split}', mention, 1, WHOLE)                        # [N], r = not retrieved
        if self.layout == WIKIDIVERSE:
            suffixes, self.entity_mask = (f'_{split}', f'_{split}'), None
        else:
            suffixes = '', '_all'
            self.entity_mask = self._load('entity-attr-mask', entity, 2)               # [Q, T]
        rank = 2 if self.entity_mask is None else 3
        self.entity_text = self._load(f'entity-attr-feature{suffixes[0]}', entity, rank)    # [Q, F] or [Q, T, F]
        self.entity_image = self._load(f'entity-image-feature{suffixes[1]}', entity, 3)           # [Q, 1, G]
        self.entity_objects = self._load(f'entity-object-feature{suffixes[1]}', entity, 4)        # [Q, 1, 1, G]
        self.entity_object_scores = self._load(f'entity-object-score{suffixes[1]}', entity, 2)    # [Q, 1]
        self.entity_row = self._entity_rows()                                       # [N, r + 1]
        self._validate()

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether the folder is in this format."""
        return bool(cls.present_splits(folder))

    @classmethod
    def present_splits(cls, folder: Path) -> list[str]:
        """The splits that the folder has files of."""
        return [split for split in cls.splits if (folder / f'answer_{split}.npy').is_file()]

    def __len__(self) -> int:
        return self.mention_text.shape[0]

    @property
    def num_candidates(self) -> int:
        """Candidates ``r`` of a mention, without the appended answer."""
        return self.image_text.shape[1] - 1

    def _load(self, name: str, rows: str | None, rank: int, kinds: str = NUMBERS) -> np.ndarray:
        path = self.root / f'{name}.npy'
        if not path.is_file():
            raise FileNotFoundError(f"'{path}' is missing; a {self.layout} folder in DRIN's preprocessed format "
                                    f"has it")
        array = read_array(path)
        if array.ndim != rank or array.dtype.kind not in kinds or not array.dtype.isnative \
                or (rank > 1 and array.shape[-1] == 0):
            raise ValueError(f"'{path}' must have {rank} dimensions of {'texts' if kinds == TEXT else 'numbers'}, got "
                             f"{array.dtype} {list(array.shape)}")
        if rows is not None:
            expected = self._num_rows.setdefault(rows, array.shape[0])
            if array.shape[0] != expected:
                raise ValueError(f"'{path}' has {array.shape[0]} rows, but there are {expected} ({rows} rows)")
        return array

    def _entity_rows(self) -> np.ndarray:
        shape = self.image_text.shape
        if self.layout == WIKIDIVERSE:
            return np.arange(shape[0] * shape[1]).reshape(shape)
        names, path = self._load(f'entity-name-raw_{self.split}', None, 1, TEXT), self.root / 'qid2idx.json'
        with located(path):
            row = {name: check(value, int, f"the row of '{name}'") for name, value in read_json(path, dict).items()}
            if not all(0 <= value < 2**63 for value in row.values()):
                raise ValueError("rows count from 0")
        if names.size != shape[0] * shape[1]:
            raise ValueError(f"'{self.root}' has {names.size} candidate names for {list(shape)} candidates")
        unknown = sorted({name for name in names.tolist() if name not in row})
        if unknown:
            raise ValueError(f"{len(unknown)} candidate names of '{self.root}' are not in qid2idx.json, the first "
                             f"is {unknown[0]!r}")
        return np.array([row[name] for name in names.tolist()], dtype=np.int64).reshape(shape)

    def _validate(self) -> None:
        if self.entity_row.max(initial=-1) >= self.entity_text.shape[0]:
            raise ValueError(f"'{self.root}' has {self.entity_text.shape[0]} entity rows, but candidates point at row "
                             f"{self.entity_row.max()}")
        objects, entity_objects = self.mention_objects.shape, self.entity_objects.shape  # [N, O, 1, G], [Q, 1, 1, G]
        pairs = [
            ('similarity-miet', 'similarity-eimt', self.image_text.shape, self.text_image.shape),
            ('mention-object-score', 'mention-object-feature', self.mention_object_scores.shape, objects[:2]),
            ('entity-object-score', 'entity-object-feature', self.entity_object_scores.shape, entity_objects[:2]),
            ('mention-object-feature', 'entity-object-feature', objects[2:], entity_objects[2:]),
            ('mention-text-feature', 'entity-attr-feature', self.mention_text.shape[2:], self.entity_text.shape[-1:]),
        ]
        if self.entity_mask is not None:
            pairs.append(('entity-attr-mask', 'entity-attr-feature', self.entity_mask.shape,
                          self.entity_text.shape[:2]))
        for a, b, one, other in pairs:
            if one != other:
                raise ValueError(f"'{a}' and '{b}' of '{self.root}' do not fit together: {list(one)} and {list(other)}")
        if objects[2] != 1 or entity_objects[1] != 1:
            raise ValueError(f"'{self.root}' must have one object of each entity, and one row of each object")
        negative = np.flatnonzero(np.asarray(self.start) < 0)
        if negative.size:
            raise ValueError(f"{negative.size} mentions of '{self.root}' begin before their first token, the first is "
                             f"mention {negative[0]}")
        empty = np.flatnonzero(np.asarray(self.end) <= np.asarray(self.start))
        if empty.size:
            raise ValueError(f"{empty.size} mentions of '{self.root}' have an empty token span, the first is mention "
                             f"{empty[0]}")
        beyond = np.flatnonzero(np.asarray(self.end) >= self.mention_text.shape[1])
        if beyond.size:
            raise ValueError(f"{beyond.size} mentions of '{self.root}' end beyond their {self.mention_text.shape[1]} "
                             f"tokens, the first is mention {beyond[0]}")
        bad = np.flatnonzero((np.asarray(self.answer) < 0) | (np.asarray(self.answer) > self.num_candidates))
        if bad.size:
            raise ValueError(f"answer_{self.split}.npy of '{self.root}' must lie in 0..{self.num_candidates} "
                             f"({self.num_candidates} = not retrieved); mention {bad[0]} has "
                             f"{int(self.answer[bad[0]])}")

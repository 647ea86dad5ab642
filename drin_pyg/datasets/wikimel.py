from pathlib import Path

from drin_pyg.datasets.melbench import NAMES, MELBench, split_files


class WikiMEL(MELBench):
    r"""WikiMEL, as MELBench published it or in MIMIC's cleaned layout (``WIKIMEL_*.json``, :mod:`.mimic`).

    As published:

    * ``Wikidata-MEL.json``: id to ``{id, sentence, mentions, entities, answer}``, the last three
      parallel lists, or plain strings (flattened: the key is ``id`` or ``id-i``). A mention is known by
      the key; where a record has several, by ``key-i``.
    * ``qid2ne.json`` and ``qid2abs.json``: name and description by QID. They are the knowledge base; an
      entity that only one of them knows keeps an empty description or name.
    * ``candidates-answer.tsv``, if there is one: a mention's id and its candidates. Without it, or
      without a line in it, a mention has no candidates (retrieve them).
    * Pictures: a mention's is ``<id before the first '-'>.<any suffix>``, an entity's
      ``<QID>.<any suffix>``.
    * Splits: ``train``, ``valid`` (or ``val``, ``dev``) and ``test``, each ``.json`` or ``.txt``. Beside
      ``Wikidata-MEL.json`` they list ids (of records or of single mentions; of files with whole
      records only the ids are read); without it, they hold the records themselves. A mention
      in no list, and any where there are no lists, has no split (``''``).

    Arguments and errors are those of :class:`MELBench`.
    """

    stem = 'Wikidata-MEL'
    prefix = 'WIKIMEL'

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether a folder's file names are those of this data set; records by split count as its flattened form."""
        by_split = (folder / NAMES).is_file() and 'test' in split_files(folder) and not any(folder.glob('*-MEL.json'))
        return super().recognises(folder) or by_split

from drin_pyg.datasets.melbench import MELBench


class RichpediaMEL(MELBench):
    r"""Richpedia-MEL, as MELBench published it or in MIMIC's cleaned layout (``RichpediaMEL_*.json``).

    As :class:`WikiMEL`, but for ``Richpedia-MEL.json``: ``mentions`` and ``answer`` of a record are
    plain strings, and where it has no answer, its own id is the answer.

    Arguments and errors are those of :class:`MELBench`.
    """

    stem = 'Richpedia-MEL'
    prefix = 'RichpediaMEL'
    id_is_answer = True

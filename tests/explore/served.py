"""The page in a process of its own, which writes down what Gradio would fetch instead of fetching it."""

import sys
from dataclasses import replace
from pathlib import Path

import gradio.processing_utils
import safehttpx

from drin_pyg.explore import Explorer, launch
from drin_pyg.linking import Linker


def main(run, host, asked):
    async def spy(url, *args, **kwargs):
        with open(asked, 'a', encoding='utf-8') as file:
            file.write(f'{url}\n')
        raise OSError("nothing is to be fetched")

    gradio.processing_utils.async_ssrf_protected_download = safehttpx.async_validate_url = spy
    Path(asked).touch()
    launch(Explorer(halved(Explorer.from_pretrained(run).linker)), 'half \ud83d', host=host)


def halved(linker):
    """With texts that JSON can hold and UTF-8 cannot: half of a surrogate pair in each."""
    data = linker.data
    entities = type(data.entities)(replace(e, name=f'{e.name} \ud83d', description='\udc00') for e in data.entities)
    mentions = [replace(m, sentence=f'\ud83d {m.sentence}', span=m.span and (m.span[0] + 2, m.span[1] + 2))
                for m in data.mentions]
    return Linker(linker.model, replace(data, entities=entities, mentions=mentions))


if __name__ == '__main__':
    main(*sys.argv[1:])

"""The page in a process of its own, which writes down what Gradio would fetch instead of fetching it."""

import sys
from pathlib import Path

import gradio.processing_utils
import safehttpx

from drin_pyg.explore import Explorer, launch


def main(run, host, asked):
    async def spy(url, *args, **kwargs):
        with open(asked, 'a', encoding='utf-8') as file:
            file.write(f'{url}\n')
        raise OSError("nothing is to be fetched")

    gradio.processing_utils.async_ssrf_protected_download = safehttpx.async_validate_url = spy
    Path(asked).touch()
    launch(Explorer.from_pretrained(run), host=host)


if __name__ == '__main__':
    main(*sys.argv[1:])

from typing import Annotated

import typer

from drin_pyg.cli.app import Quiet, app
from drin_pyg.cli.linking import Run


@app.command()
def explore(
    run: Run,
    host: Annotated[str, typer.Option(help='Address to listen on. The default can be reached from this computer '
                                           'only.')] = '127.0.0.1',
    port: Annotated[int | None, typer.Option(min=1, max=65535, help='Port. Default: the first free one from '
                                                                    '7860.')] = None,
    open_browser: Annotated[bool, typer.Option('--open', help='Open the page in the browser.')] = False,
    quiet: Quiet = False,
) -> None:
    """Explore a trained model on a page: link mentions, weigh the relations, browse the mistakes."""
    import gradio  # noqa: F401  # one that is missing is named before a model is read

    from drin_pyg.datasets.open_dataset import is_packaged
    from drin_pyg.explore import Explorer, launch
    from drin_pyg.files import read_record
    from drin_pyg.training.run import RUN

    explorer = Explorer.from_pretrained(run, not quiet)
    title = 'EmojiMEL' if is_packaged(read_record(run / RUN)['data']) else run.resolve().name
    launch(explorer, title, host=host, port=port, open_browser=open_browser)

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name='drin-pyg',
    help='Link mentions to knowledge-base entities by text and image, with DRIN on PyTorch Geometric.',
    no_args_is_help=True,
    rich_markup_mode='markdown',
    pretty_exceptions_enable=False,
)

Quiet = Annotated[bool, typer.Option('--quiet', '-q', help='No progress bars.')]
Json = Annotated[bool, typer.Option('--json', help='Print JSON instead of a table.')]
Config = Annotated[Path | None, typer.Option(help='YAML file with settings; options given here go before it.')]

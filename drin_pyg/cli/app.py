import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from drin_pyg import __version__
from drin_pyg.files import format_json

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


def print_json(value: Any, err: bool = False) -> None:
    """Prints a result for programs; whatever else there is to say goes to stderr."""
    typer.echo(format_json(value), err=err)


def _print_versions(asked: bool) -> None:
    if not asked:
        return
    typer.echo(f'drin_pyg {__version__}')
    for name in ('torch', 'torch_geometric'):  # read off their metadata, which takes no time
        try:
            typer.echo(f'{name} {version(name)}')
        except PackageNotFoundError:
            typer.echo(f'{name} is not installed')
    typer.echo(f'python {platform.python_version()}')
    raise typer.Exit


@app.callback()
def options(
    versions: Annotated[bool, typer.Option('--version', callback=_print_versions, is_eager=True,
                                           help='Show versions and exit.')] = False,
) -> None:
    pass

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


def read_config(path: Path | None) -> dict:
    r"""Settings of a YAML file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no mapping.
    """
    import yaml

    if path is None:
        return {}
    try:
        settings = yaml.safe_load(path.read_text(encoding='utf-8')) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"'{path}' is no YAML: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"'{path}' must hold 'name: value' lines, got {settings!r:.60}")
    return settings

"""Writes the reference of the command line from the commands themselves, where its page has a marker."""

import re

import typer

MARKER = '<!-- commands -->'
PAGE = 'reference/commands'


def commands_markdown() -> str:
    """A section for each command of `drin-pyg`: what `--help` prints, as Markdown."""
    from drin_pyg.cli import app

    group = typer.main.get_command(app)
    context = group.make_context('drin-pyg', [], resilient_parsing=True)
    return '\n'.join(_section(name, command, context) for name, command in sorted(group.commands.items()))


def _section(name: str, command, parent) -> str:
    context = type(parent)(command, info_name=name, parent=parent)
    words = [word for parameter in command.params if parameter.param_type_name == 'argument'
             for word in parameter.get_usage_pieces(context)]
    required = [parameter for parameter in command.params
                if parameter.param_type_name == 'option' and parameter.required]
    words += [parameter.get_help_record(context)[0] for parameter in required]
    words = [re.sub(r'\{(\w+)\}', lambda name: name[1].upper(), word) for word in words]
    lines = [f'## drin-pyg {name}', '', _text(command.help), '', '```text',
             ' '.join(['drin-pyg', name, *words, '[OPTIONS]']), '```', '']
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None:
            what, help_text = record
            lines += [f'`{what}`', f': {_text(help_text) or "-"}', '']
    return '\n'.join(lines)


def _text(text: str | None) -> str:
    """Help text in one paragraph: a blank line would end the definition, `[default: x]` become a link, `--x` a dash."""
    text = re.sub(r'\s+', ' ', text or '').strip()
    text = re.sub(r'(?<![\w`-])(--[a-z][a-z-]*)', r'`\1`', text)
    return re.sub(r'\[((?:required|default|x)[^\]]*)\]$', r'*(\1)*', text)


def insert(app, docname: str, source: list[str]) -> None:
    if docname == PAGE:
        source[0] = source[0].replace(MARKER, commands_markdown())


def setup(app) -> dict:
    app.connect('source-read', insert)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}

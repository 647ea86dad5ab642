r"""The command ``drin-pyg``: parses, calls the library, prints. Heavy imports wait for the command."""

import os
import re
import sys
import warnings

from drin_pyg.cli.app import app
from drin_pyg.cli.audit import audit
from drin_pyg.cli.card import card
from drin_pyg.cli.check import check
from drin_pyg.cli.data import convert, describe, encode, retrieve
from drin_pyg.cli.diagnose import diagnose, explain
from drin_pyg.cli.experiments import ablate
from drin_pyg.cli.explore import explore
from drin_pyg.cli.linking import index, link, link_many
from drin_pyg.cli.missing import missing_module
from drin_pyg.cli.model import calibrate, evaluate, parity, train
from drin_pyg.cli.report import demo

__all__ = ['ablate', 'app', 'audit', 'calibrate', 'card', 'check', 'convert', 'demo', 'describe', 'diagnose', 'encode',
           'evaluate', 'explain', 'explore', 'index', 'link', 'link_many', 'main', 'parity', 'retrieve', 'train']

# What libraries say about themselves on import, here and in worker processes; nothing a user can act on.
NOISE = {
    '`torch.jit.script` is deprecated': FutureWarning,
    '`isinstance(treespec': FutureWarning,
}


def main() -> None:
    """Runs the command. What the user can mend is one line on stderr and exit code 2."""
    for message, category in NOISE.items():
        warnings.filterwarnings('ignore', re.escape(message), category)
    os.environ.setdefault('PYTHONWARNINGS', ','.join(f'ignore:{m}:{c.__name__}' for m, c in NOISE.items()))
    try:
        code = app(prog_name='drin-pyg', standalone_mode=False)
    except ModuleNotFoundError as error:
        _fail(missing_module(error))
    except (OSError, ValueError, ImportError) as error:
        _fail(str(error))
    except Exception as error:
        if not hasattr(error, 'format_message'):  # what typer says of the command line has it
            raise
        _fail(error.format_message())
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    print(f'drin-pyg: {" ".join(message.split())}', file=sys.stderr)
    sys.exit(2)

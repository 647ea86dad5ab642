r"""``python -m drin_pyg``: the command, for ``torchrun -m drin_pyg`` and where scripts are not on the path."""

from drin_pyg.cli import main

if __name__ == '__main__':  # worker processes may import this file
    main()

import importlib.util
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / 'examples' / 'compose.py'


def test_it_learns_and_composes(capsys):
    spec = importlib.util.spec_from_file_location('compose', EXAMPLE)
    compose = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compose)
    compose.main()
    printed = capsys.readouterr().out
    assert float(printed.split('trained on: ')[1].split()[0]) > 0.7  # chance is 0.5
    assert "'movie': (100, 8)" in printed

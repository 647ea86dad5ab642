"""The benchmarks are scripts that import one another by their bare names; here they become modules."""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / 'benchmarks'
if str(FOLDER) not in sys.path:
    sys.path.append(str(FOLDER))

"""ReVOS and MeViS as tasks of lmms-eval: this folder is what its `--include_path` is given."""

from pathlib import Path

FOLDER = Path(__file__).parent

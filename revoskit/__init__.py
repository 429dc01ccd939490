"""Tools around ReVOS: annotations, masks, clips, scores, pictures. The dataset itself is the module `revos`.

The public names are those of `__init__.pyi`, which a type checker reads too: a line there is all that a new one needs.
A name's module is imported when it is first asked for, since most stand on libraries that a mere `import revoskit`
should not wait for.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

__version__ = "1.1.0"  # of this code; `revos.VERSION` is that of the dataset


def _homes() -> dict[str, str]:
    """The module that each public name is imported from."""
    declared = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
    lines = [line for line in declared if isinstance(line, ast.ImportFrom)]
    return {alias.name: line.module or __name__ for line in lines for alias in line.names}


_HOMES = _homes()
__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if (home := _HOMES[name]) == __name__:
        return importlib.import_module(f"{home}.{name}")
    # as `from home import name` does it: the name may be a module that nobody has imported yet
    value = getattr(__import__(home, fromlist=[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

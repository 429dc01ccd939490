"""Tools around ReVOS: annotations, masks, clips, scores, pictures. The dataset itself is the module `revos`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Loaded when first asked for: most of what is here stands on libraries that a mere import should not wait for.
_HOME = {
    "Clips": "revoskit.clips",
    "Evaluator": "revoskit.evaluation",
    "collate": "revoskit.clips",
    "evaluate": "revoskit.evaluation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

"""Tools around ReVOS: annotations, masks, clips, scores, pictures. The dataset itself is the module `revos`."""

from __future__ import annotations

import importlib
from typing import Any

# Where the names live that are imported straight from here. Their modules are loaded when first asked for: most stand
# on libraries that a mere import should not wait for.
_HOMES = {
    "Clips": "revoskit.training.clips",
    "Evaluator": "revoskit.scoring.evaluate",
    "collate": "revoskit.training.clips",
    "evaluate": "revoskit.scoring.evaluate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

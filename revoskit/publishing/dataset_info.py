"""`dataset_infos/<config>/dataset_info.json`: what the dataset declares of itself, for those who have not loaded it.

Nothing reads these files when the dataset is loaded: somebody's partial copy must load although it has fewer examples.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datasets import DatasetInfo

from revoskit.atomic import write_whole
from revoskit.dataset import published
from revoskit.dataset.layout import SHA256

# A copy of one's own may differ: `revoskit stats` counts it.
PUBLISHED = {
    "source": published.SOURCE,
    "videos": {**published.VIDEOS, "total": sum(published.VIDEOS.values())},
    "expressions": {
        **{split: {**counts, "total": sum(counts.values())} for split, counts in published.EXPRESSIONS.items()},
        **published.totals(),
    },
}


def as_dict(info: DatasetInfo) -> dict[str, Any]:
    """The content of a `dataset_info.json` that every supported version of `datasets` can read."""
    return {
        "description": info.description,
        "citation": info.citation,
        "homepage": info.homepage,
        "license": info.license,
        "features": plain(info.features.to_dict()),
        "builder_name": info.builder_name,
        "dataset_name": info.dataset_name,
        "config_name": info.config_name,
        "version": str(info.version),
        "download_checksums": {name: {"num_bytes": None, "checksum": sha256} for name, sha256 in SHA256.items()},
        "published": PUBLISHED,
    }


def plain(feature: Any) -> Any:
    """A feature in the spelling of datasets 3, which 4 and later read too: a list is `[feature]`, not a type `List`."""
    if isinstance(feature, list):
        return [plain(item) for item in feature]
    if not isinstance(feature, dict):
        return feature
    if feature.get("_type") == "List":
        return [plain(feature["feature"])]
    return {key: plain(value) for key, value in feature.items() if value is not None}


def as_json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def write(info: DatasetInfo, folder: Path) -> Path:
    """Write `<folder>/<config>/dataset_info.json`; returns its path."""
    path: Path = folder / info.config_name / "dataset_info.json"
    write_whole(path, as_json(as_dict(info)).encode())
    return path

"""Predictions as a table: Parquet, or what `datasets` has saved or holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from revoskit.dataset.annotations import Annotations
from revoskit.dataset.records import Expression, Video
from revoskit.errors import UsageError
from revoskit.scoring.prediction import Prediction, Problem, ProblemKind, extras_of, from_rles, nothing


def _require_plain(name: str, feature: Any) -> None:
    """See that a column holds plain values, of which to read one is all that happens.

    A table says itself what its columns are, and an `Image`, `Audio`, `Video` or `Pdf` is opened when it is read, be it
    a file of this machine or an address.

    Raises:
        UsageError: it is something else.
    """
    from datasets import Value

    if isinstance(feature, dict):
        for part in feature.values():
            _require_plain(name, part)
    elif isinstance(feature, list):
        _require_plain(name, feature[0])
    elif hasattr(feature, "feature"):  # the lists of `datasets`, which it calls otherwise in each version
        _require_plain(name, feature.feature)
    elif type(feature) is not Value:
        raise UsageError(
            f"the column {name} holds {type(feature).__name__}, which would have to be opened: expected plain values, "
            "ids as strings and masks as lists of RLEs"
        )


class Table:
    """A `datasets` table with the columns video_id, expression_id and masks ([RLE or null]).

    What `convert` writes has three more: `grey` (the value that the object had in PNGs), `extra` (JSON) and `error`.
    """

    COLUMNS = ("video_id", "expression_id", "masks")
    FURTHER = ("grey", "extra", "error")

    def __init__(self, table: Any, path: Path | None = None) -> None:
        self.path = path
        lacking = [name for name in self.COLUMNS if name not in table.column_names]
        if lacking:
            raise UsageError(f"the table lacks {', '.join(lacking)}: expected the columns {', '.join(self.COLUMNS)}")
        further = [name for name in self.FURTHER if name in table.column_names]
        for name in (*self.COLUMNS, *further):
            _require_plain(name, table.features[name])
        self._table = table.select_columns([*self.COLUMNS, *further]).with_format(None)
        ids = self._table.select_columns(["video_id", "expression_id"])[:]
        self._keys = [(str(v), str(e)) for v, e in zip(ids["video_id"], ids["expression_id"], strict=True)]
        self._rows = {key: row for row, key in enumerate(self._keys)}
        self._videos = {video_id for video_id, _ in self._keys}

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether a folder holds a table."""
        return (folder / "state.json").is_file() or any(folder.glob("*.parquet"))

    @classmethod
    def load(cls, path: Path) -> Table:
        """From Parquet, by way of the cache of `datasets`, or from a table saved to disk; mapped, not read."""
        from datasets import Dataset, load_from_disk

        try:
            if (path / "state.json").is_file():
                return cls(load_from_disk(str(path)), path)
            files = sorted(map(str, path.glob("*.parquet"))) if path.is_dir() else str(path)
            return cls(Dataset.from_parquet(files), path)
        except UsageError:
            raise
        except Exception as error:  # whatever the reader has to say
            raise UsageError(f"{path} is no table that `datasets` can read: {error}") from error

    def state(self) -> list[Any]:
        return ["a table", self._table._fingerprint, str(self.path)]

    def state_of(self, video_id: str) -> str:
        return ""

    def has_video(self, video_id: str) -> bool:
        return video_id in self._videos

    def read(self, video: Video, expression: Expression) -> Prediction:
        number = self._rows.get((video.video_id, expression.expression_id))
        if number is None:
            return nothing(video, expression, ProblemKind.MISSING, "the table has no row for it")
        row = self._table[number]
        if row.get("error") is not None:
            return nothing(video, expression, ProblemKind.FAILED, row["error"])
        extra = msgspec.json.decode(row["extra"]) if isinstance(row.get("extra"), str) else None
        return from_rles(video, expression, row["masks"], grey=row.get("grey") or 1, extra=extra)

    def extras(self, annotations: Annotations) -> Iterator[Problem]:
        for row, (video_id, expression_id) in enumerate(self._keys):
            if self._rows[video_id, expression_id] != row:
                yield Problem(
                    video_id, expression_id, ProblemKind.EXTRA, f"row {row}: a later row has the same ids and counts"
                )
            else:
                yield from extras_of(annotations, video_id, [expression_id])

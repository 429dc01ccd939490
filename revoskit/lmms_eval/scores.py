"""The J&F of a run of lmms-eval. Apart from `utils.py`, which is loaded anew for each metric: this is scored once."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import msgspec

from revoskit.atomic import write_whole
from revoskit.inference.lines import SUFFIX
from revoskit.scoring.evaluate import evaluate


class _Ids(msgspec.Struct):
    video_id: str
    expression_id: str


def score(family: str, split: str, lines: list[str], args: argparse.Namespace | None) -> dict[str, float | None]:
    """The J&F in percent of what was answered, overall and by type; of a whole run, what `revoskit evaluate` says.

    The lines are written to FAMILY.jsonl in lmms-eval's `--output_path`, or here.
    """
    return _score(family, split, tuple(lines), getattr(args, "output_path", None) or ".")


@lru_cache(maxsize=1)
def _score(family: str, split: str, lines: tuple[str, ...], folder: str) -> dict[str, float | None]:
    path = Path(folder) / f"{family}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, "".join(lines).encode())
    result = evaluate(path, family=family, split=split)
    asked = {(one.video_id, one.expression_id) for one in msgspec.json.Decoder(_Ids).decode_lines("".join(lines))}
    kept = tuple(e for e in result.expressions if (e.video_id, e.expression_id) in asked)
    part = "" if len(kept) == len(result.expressions) else f", {len(kept):,} of {len(result.expressions):,} expressions"
    print(f"{family} {split}{part}: the predictions are in {path}", file=sys.stderr)
    answered = replace(result, expressions=kept, missing=(), is_slice=bool(part))
    return {name: row.measures["J&F"] for name, row in answered.rows["binary"].items()}

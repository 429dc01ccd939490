"""Predictions from any form to any other, with the same masks in them.

Everything goes by way of JSON lines, which can be gone on with after a kill: they are what is asked for, or what the
one file that is asked for is put together from. PNGs are written a folder at a time, each whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import msgspec
import numpy as np

from revoskit import workers
from revoskit.atomic import PART, make_folder, whole, write_whole
from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.families import REVOS
from revoskit.dataset.layout import Faults, Layout
from revoskit.dataset.records import Expression, Video
from revoskit.errors import UsageError
from revoskit.inference.division import Shard
from revoskit.inference.lines import Data, Failed, Lines, Predicted, Run, encode
from revoskit.inference.writer import PredictionWriter
from revoskit.scoring.prediction import Prediction, Problem, ProblemKind, problem
from revoskit.scoring.predictions import Predictions, open_predictions, refuse_a_dataset
from revoskit.text import as_json

Form = Literal["png", "json", "parquet", "lines"]
FORMS: tuple[Form, ...] = ("png", "json", "parquet", "lines")
_FILES = {"json": ".json", "parquet": ".parquet"}
_ALONE = Shard(0, 1)


@dataclass
class Conversion:
    """What became of a set of predictions."""

    output: Path
    converted: int = 0
    failed: int = 0
    """Expressions on which the model failed, which the result says too."""
    left_out: list[Problem] = field(default_factory=list)
    """What has no usable prediction, or one that RLEs cannot hold."""

    def describe(self, shown: int = 5) -> str:
        """A few lines for people."""
        lines = [f"{self.output}: {self.converted:,} predictions"]
        if self.failed:
            lines[0] += f", and {self.failed:,} on which the model failed"
        if self.left_out:
            lines.append(f"{len(self.left_out):,} expressions have none that could be converted:")
            lines += [
                f"  {one.video_id}, expression {one.expression_id} ({one.kind}): {one.reason}"
                for one in self.left_out[:shown]
            ]
            if len(self.left_out) > shown:
                lines.append(f"  … and {len(self.left_out) - shown:,} more")
        return "\n".join(lines)


def convert(
    predictions: Any,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    output: str | os.PathLike[str],
    to: Form,
    split: str = "validation",
    family: str = REVOS,
    faults: Faults = "error",
    num_proc: int = 1,
    progress: Callable[[int, int], object] = lambda done, videos: None,
) -> Conversion:
    """Write predictions in another form, with the same masks, grey values and failures.

    What a model says beside its masks is kept by all forms but PNGs. Killed and called again, it goes on.

    Args:
        predictions: in any form, as `evaluate` takes them.
        data_dir, split, family, faults: what they are for: names of frames, sizes, and the order of the result.
        output: a folder for `png` and `lines`, a file for `json` and `parquet`.
        to: `png` for a tree `<video_id>/<expression_id>/<frame>.png`, with the grey value that the masks were read
            with, 1 where they had none; `json` for `{video_id: {expression_id: [RLE, …]}}`; `parquet` for a row per
            expression; `lines` for what `predict` writes.
        num_proc: processes.
        progress: called with the number of videos done and the number there are.

    Raises:
        UsageError: an argument cannot be meant, or the output holds something else.
        MissingFilesError, AnnotationError: the dataset is not there or not sound.
    """
    if to not in FORMS:
        raise UsageError(f"there is no form {to!r}: use {', '.join(FORMS)}")
    refuse_a_dataset(predictions)
    annotations = open_annotations(Layout.at(data_dir, family, faults=faults), split)
    opened = open_predictions(predictions, annotations)
    result = Conversion(Path(output))
    if to == "png":
        _mark(result.output, annotations, predictions)
        work = partial(_write_tree, annotations, opened, result.output)
        for _ in _videos(annotations, list(annotations.videos), work, result, num_proc, progress):
            pass
        _write_failures(result.output, annotations, opened, result)
        return result
    folder = result.output if to == "lines" else _work_folder(result.output, _FILES[to])
    make_folder(folder)
    run = Run(Data.of(annotations), None, {"predictions": _name(predictions)}, False)
    with PredictionWriter.for_run(folder, annotations, _ALONE, run) as writer:
        todo = [
            video.video_id
            for video in annotations
            if not all(writer.done(video.video_id, expression.expression_id) for expression in video.expressions)
        ]
        work = partial(_read_lines, annotations, opened)
        for lines in _videos(annotations, todo, work, result, num_proc, progress):
            for (video_id, expression_id), line in lines:
                if not writer.done(video_id, expression_id):
                    writer.append(line)
    found = Lines([folder])
    found.refresh()
    result.failed = sum(place.failed for place in found.places.values())
    result.converted = len(found.places) - result.failed
    if to != "lines":
        (_write_json if to == "json" else _write_parquet)(result.output, _in_order(annotations, found))
        shutil.rmtree(folder)
    return result


def _name(predictions: Any) -> str:
    return os.path.realpath(predictions) if isinstance(predictions, (str, os.PathLike)) else type(predictions).__name__


def _work_folder(output: Path, suffix: str) -> Path:
    if output.suffix != suffix or output.is_dir():
        raise UsageError(f"{output} is not the name of a {suffix} file, which is what is to be written")
    return output.with_name(f".{output.name}.lines")


_Done = tuple[Any, int, int, list[Problem]]


def _videos(
    annotations: Annotations,
    todo: list[str],
    work: Callable[[str], _Done],
    result: Conversion,
    num_proc: int,
    progress: Callable[[int, int], object],
) -> Iterator[Any]:
    """Work on these videos, note what came of it, and give what else the work gives."""
    done = len(annotations.videos) - len(todo)
    progress(done, len(annotations.videos))
    for _, (made, converted, failed, left_out) in workers.run(work, todo, num_proc=num_proc):
        result.converted += converted
        result.failed += failed
        result.left_out += left_out
        done += 1
        progress(done, len(annotations.videos))
        yield made


def _usable(video: Video, expression: Expression, found: Prediction) -> Problem | None:
    """Why a prediction cannot be converted; null where it can."""
    if found.problem is not None:
        return found.problem
    if found.official is None or found.official.grey is None:
        reason = "its frames have several grey values, of which RLEs keep none: threshold them first"
        return problem(video, expression, ProblemKind.MALFORMED, reason)
    return None


# --- lines, and what is put together from them ------------------------------------------------------------------------


def _read_lines(annotations: Annotations, opened: Predictions, video_id: str) -> _Done:
    """The lines of a video's expressions, each with its ids."""
    video = annotations.video(video_id)
    lines = []
    left_out = []
    for expression in video.expressions:
        found = opened.read(video, expression)
        wrong = _usable(video, expression, found)
        key = (video_id, expression.expression_id)
        if wrong is None and found.binary is not None and found.official is not None:
            masks = list(found.rles if found.rles is not None else found.binary.unpack())
            lines.append((key, encode(Predicted(*key, masks, None, found.extra, found.official.grey or 1))))
        elif wrong is not None and wrong.kind is ProblemKind.FAILED:
            lines.append((key, encode(Failed(*key, wrong.reason))))
        elif wrong is not None:
            left_out.append(wrong)
    return lines, 0, 0, left_out


def _in_order(annotations: Annotations, lines: Lines) -> Iterator[tuple[str, Iterator[Predicted | Failed]]]:
    """The lines of every video that has any, in the order of the split."""
    for video in annotations:
        keys = [(video.video_id, expression.expression_id) for expression in video.expressions]
        if any(key in lines.places for key in keys):
            yield video.video_id, (lines.places[key].read() for key in keys if key in lines.places)


def _write_json(path: Path, videos: Iterable[tuple[str, Iterable[Predicted | Failed]]]) -> None:
    with whole(path) as file:
        file.write(b"{")
        for number, (video_id, lines) in enumerate(videos):
            of_video = {line.expression_id: _as_entry(line) for line in lines}
            file.write((b",\n" if number else b"\n") + msgspec.json.encode(video_id) + b": ")
            file.write(msgspec.json.encode(of_video))
        file.write(b"\n}\n")


def _as_entry(line: Predicted | Failed) -> Any:
    """A list of RLEs where that says it all, else an object."""
    if isinstance(line, Failed):
        return {"error": line.error}
    if line.grey == 1 and line.extra is None:
        return line.masks
    entry = {"masks": line.masks, "grey": line.grey, "extra": line.extra}
    return {name: value for name, value in entry.items() if value is not None}


def _write_parquet(path: Path, videos: Iterable[tuple[str, Iterable[Predicted | Failed]]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    mask = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
    schema = pa.schema(
        [
            ("video_id", pa.string()),
            ("expression_id", pa.string()),
            ("masks", pa.list_(mask)),
            ("grey", pa.int32()),
            ("extra", pa.string()),
            ("error", pa.string()),
        ]
    )
    with whole(path) as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for _, lines in videos:
            writer.write_table(pa.Table.from_pylist([_as_row(line) for line in lines], schema))


def _as_row(line: Predicted | Failed) -> dict[str, Any]:
    ids = {"video_id": line.video_id, "expression_id": line.expression_id}
    if isinstance(line, Failed):
        return {**ids, "error": line.error}
    extra = None if line.extra is None else msgspec.json.encode(line.extra).decode()
    return {**ids, "masks": line.masks, "grey": line.grey, "extra": extra}


# --- PNGs -------------------------------------------------------------------------------------------------------------


def _write_tree(annotations: Annotations, opened: Predictions, root: Path, video_id: str) -> _Done:
    """The folders of a video's expressions; what is there already is whole, and stays."""
    video = annotations.video(video_id)
    converted = failed = 0
    left_out = []
    for part in (root / video_id).glob(f".*{PART}"):  # of a killed run
        shutil.rmtree(part)
    for expression in video.expressions:
        folder = root / video_id / expression.expression_id
        if folder.is_dir():
            converted += 1
            continue
        found = opened.read(video, expression)
        wrong = _usable(video, expression, found)
        if wrong is None and found.binary is not None and found.official is not None:
            _write_folder(folder, video, found.binary.unpack().decode() * np.uint8(found.official.grey or 1))
            converted += 1
        elif wrong is not None and wrong.kind is ProblemKind.FAILED:
            failed += 1
        elif wrong is not None:
            left_out.append(wrong)
    return None, converted, failed, left_out


def _mark(root: Path, annotations: Annotations, predictions: Any) -> None:
    """See that a folder holds no other PNGs than those of this conversion.

    Raises:
        UsageError: it does, or may do.
    """
    make_folder(root)
    mark = root / ".converted.json"
    content = as_json({"predictions": _name(predictions), "data": Data.of(annotations)})
    if mark.is_file() and mark.read_bytes() != content:
        raise UsageError(f"{root} holds the PNGs of other predictions: name another folder")
    if not mark.is_file() and any(root.iterdir()):
        raise UsageError(f"{root} is not empty: name a new folder, so that the PNGs are not mixed with others")
    write_whole(mark, content)


def _write_folder(folder: Path, video: Video, pixels: np.ndarray) -> None:
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}{PART}")
    part.mkdir(parents=True)
    try:
        for name, frame in zip(video.frame_names, pixels, strict=True):
            (part / f"{name}.png").write_bytes(cv2.imencode(".png", frame)[1].tobytes())
        part.rename(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            shutil.rmtree(part)
        raise


def _write_failures(root: Path, annotations: Annotations, opened: Predictions, result: Conversion) -> None:
    """What failed, as UniPixel lists it beside its folders, and as `PngTree` reads it."""
    path = root / "failed_0.json"
    if not result.failed:
        path.unlink(missing_ok=True)
        return
    failures = []
    for video in annotations:
        for expression in video.expressions:
            if (root / video.video_id / expression.expression_id).is_dir():
                continue
            wrong = opened.read(video, expression).problem
            if wrong is not None and wrong.kind is ProblemKind.FAILED:
                anno = {"vid": video.video_id, "samples": [{"qid": expression.expression_id}]}
                failures.append({"anno": anno, "err": wrong.reason})
    write_whole(path, as_json(failures, indent=2) + b"\n")

"""The ReVOS dataset for Hugging Face `datasets`.

    import revos                                  # makes the name known to `datasets`
    from datasets import load_dataset
    ds = load_dataset("revos", data_dir="path/to/ReVOS", split="validation")

`datasets` 4 and later run no loading scripts from a file or the Hub; a builder that is installed as a module still
works. Importing this one enters it among the builders that ship with `datasets`, which is the one place where a bare
name is looked up. `Revos(data_dir=...)` does the same without any registration.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import inspect
import os
import re
import tempfile
import warnings
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import datasets
import datasets.exceptions
import datasets.load
import pyarrow as pa
import pyarrow.compute as pc
from datasets.data_files import DataFilesDict
from multiprocess import active_children  # type: ignore[import-untyped]  # `datasets` uses it, not `multiprocessing`

import revoskit
from revoskit.archives.cache import FOLDER_VARIABLE
from revoskit.atomic import storing
from revoskit.dataset import published
from revoskit.dataset.advice import about_frames
from revoskit.dataset.annotations import Annotations, forget_annotations, open_annotations, open_splits
from revoskit.dataset.changes import refuse_changes, unchanged
from revoskit.dataset.columns import expression_example, expressions_features, video_example, videos_features
from revoskit.dataset.expressions import ids_without_size, scan_expressions
from revoskit.dataset.families import FAMILIES, REVOS
from revoskit.dataset.layout import FRAMES_ARCHIVE, SHA256, Faults, FileState, Layout, SplitFiles, check_relative
from revoskit.dataset.leaving_out import LeftOut, tell
from revoskit.dataset.records import UnsizedError, Video
from revoskit.dataset.remapping import read_mapping
from revoskit.dataset.tables import Shown, expression_tables, video_tables
from revoskit.errors import AnnotationError, MissingFilesError, RevosError, UsageError
from revoskit.frames import EncodedFrame
from revoskit.text import is_storable, printable
from revoskit.workers import interrupts_kept_here

NAME = "revos"
VERSION = "1.0.0"  # of the dataset, as released on 2024-07-13; `revoskit.__version__` is that of this code
LONG_ROW_BYTES = 100_000_000  # of decoded frames, from which on whoever asks for them is warned: 80 frames at 480p
HOMEPAGE = "https://github.com/cilinyan/ReVOS-api"
LICENSE = "https://creativecommons.org/licenses/by-nc-sa/4.0/"
DESCRIPTION = (
    "ReVOS (Reasoning Video Object Segmentation) pairs 1,042 videos with 35,074 expressions: some name an object, some "
    "must be reasoned out, some name what is not in the video. Each comes with a mask per frame."
)
CITATION = """\
@article{yan2024visa,
      title={VISA: Reasoning Video Object Segmentation via Large Language Models},
      author={Yan, Cilin and Wang, Haochen and Yan, Shilin and Jiang, Xiaolong and Hu, Yao and Kang, Guoliang and Xie, \
Weidi and Gavves, Efstratios},
      journal={arXiv preprint arXiv:2407.11325},
      year={2024}
}"""

# What a cache depends on besides the data: all that rows are made by. Change any of it, and it is built anew.
_HOME = Path(revoskit.__file__).parent
_CODE = [Path(__file__), _HOME / "errors.py", _HOME / "frames.py"]
_CODE += [file for room in ("dataset", "masks") for file in sorted((_HOME / room).rglob("*.py"))]
CODE_HASH = hashlib.sha256(b"".join(file.read_bytes() for file in _CODE)).hexdigest()[:16]


@dataclass
class RevosConfig(datasets.BuilderConfig):
    """Options of `load_dataset("revos", ...)`.

    Args:
        data_dir: the folder that holds `mask_dict.json` and `JPEGImages/` or `JPEGImages.zip`, whose frames are read
            where they lie; by default, what $REVOS_ROOT says.
        source: where to get the official files, as `revoskit download --from` takes it: hf://datasets/<owner>/<repo>,
            an https:// address or a folder. What is missing is downloaded and verified before the dataset is built: in
            `data_dir` where that is named, or else in the cache of `datasets`.
        frames: `"local"`, or `"remote"`: download the annotation files of `source` alone, and leave the archive of
            frames where it is. Its directory is read once and kept; a frame is a request when it is opened.
        frame_cache: a folder in which frames from a server are kept ($REVOS_FRAME_CACHE), as many as fit into
            $REVOS_FRAME_CACHE_GB.
        decode_frames: give PIL images instead of `{"path", "bytes"}`. Opening a row then decodes all its frames.
            None is turned as its EXIF data may say: masks follow the rows and columns of the file.
        faults: what to do about what is wrong: `"error"` stops at the first, `"skip"` leaves out the expressions that
            are faulty or name a faulty track, such tracks, and the videos whose entries cannot be read or one of whose
            frames is missing, broken off or of another shape. A warning says how much, and where all of it is listed.
            With `frames="remote"` no frame is fetched for that: one counts as sound that the directory of the archive
            lists with as many bytes as a picture has at least.
        missing_frames: what to do about frames that are listed but not on disk: `"error"` stops, or with
            `faults="skip"` leaves their videos out; `"keep"` puts null in their place.
        splits: build no other than these, such as `["validation"]`. `datasets` builds every split, whichever one is
            asked for, so that what is wrong with one stops all.
        family: whose files these are: `"revos"`, or a sister dataset (docs/sisters.md): `"mevis"`, `"mevis_v2"`,
            `"lv_vis"`, `"fevos"`, `"ref_sav"`, `"reason_vos"`, `"long_rvos"`, `"groundmore"`, `"ref_youtube_vos"`,
            `"ref_davis17"`. These have no expression types; where a split keeps its masks back, `masks` and `tracks`
            are empty lists.
        alignment: a mapping file (`docs/alignment.md`) that says which frame each mask belongs to. The videos that it
            names then have those as their `frame_names` and `frames`. By default the dataset stays as filed.
    """

    version: str = VERSION
    source: str | None = field(default=None, repr=False)  # may hold credentials
    frames: Literal["local", "remote"] = "local"
    frame_cache: str | None = None
    decode_frames: bool = False
    faults: Faults = "error"
    missing_frames: str = "error"
    splits: list[str] | None = None
    family: str = REVOS
    alignment: str | None = None
    token: str | bool | None = field(default=None, init=False, repr=False)
    state: FileState | None = field(default=None, init=False, repr=False)
    """That of the annotation files when the cache was named after them; null where a source brings them."""

    @property
    def layout(self) -> Layout:
        options: dict[str, Any] = {"alignment": self.alignment, "faults": self.faults}
        if self.frames == "remote" and self.source:
            from revoskit.getting.sources import remote_archive

            options["far_archive"] = remote_archive(self.source, self.token)
        return Layout.at(self.data_dir, self.family, **options)

    def require_sizes(self, annotations: Annotations) -> None:
        """See that no video is to be kept whose size nothing tells."""
        if annotations.unsized and self.missing_frames == "keep" and self.faults == "error":
            error = next(iter(annotations.unsized.values()))
            raise error.advising("Or leave such videos out: faults='skip'.")

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: datasets.Features | None = None) -> str:
        """Name the cache after the data: where it is, however spelled, and the state of the files it is made from."""
        try:
            layout = Layout.at(self.data_dir, self.family, faults=self.faults)
        except UsageError:  # without data the builder can still be asked for its features
            return f"{self.name}-without-data"
        identity = {
            "layout": layout,
            "options": (self.frames, self.decode_frames, self.missing_frames, self.splits, repr(custom_features)),
            # by content: the same file elsewhere gives the same rows
            "alignment": sorted(read_mapping(self.alignment).items()) if self.alignment else None,
            # the files of a source may not be here yet, but what they will be is known: official
            "files": (self.source, sorted(SHA256.items())) if self.source else self._files(layout),
            # datasets 3 cannot read the features that later ones store
            "format": datasets.__version__.split(".")[0],
        }
        return f"{self.name}-{hashlib.sha256(repr(identity).encode()).hexdigest()[:16]}"

    def _files(self, layout: Layout) -> tuple[object, ...]:
        """The state on disk of what the rows are made from."""
        # Where rows follow which frames are there, or what size they have, so do the times of the folders.
        sized = FAMILIES[self.family].sized
        unsized = _unsized_folders(layout) if sized else []
        if self.alignment or unsized or not sized:
            forget_annotations()
        self.state = self.layout.annotation_state()
        state: tuple[object, ...] = layout.annotation_state(), layout.picture_state(), layout.frame_state()
        if self.faults == "skip":  # which looks into every frame
            return *state, [(str(folder), _frames_state(folder)) for folder in _folders(layout)]
        if unsized:
            state = *state, [(str(folder), _frames_state(folder)) for folder in unsized]
        folders = _folders(layout) if self.missing_frames != "error" or self.alignment or not sized else []
        return *state, [(str(folder), folder.stat().st_mtime_ns) for folder in folders]


def _no_cache() -> str:
    """Why nothing can be written to the cache of `datasets`, as where HOME is absent or read-only; empty if it can."""
    try:
        os.makedirs(datasets.config.HF_DATASETS_CACHE, exist_ok=True)
        with tempfile.TemporaryFile(dir=datasets.config.HF_DATASETS_CACHE):
            return ""
    except OSError as error:
        return f"{datasets.config.HF_DATASETS_CACHE}: {error.strerror}"


def _require_text(what: str, folder: str | os.PathLike[str] | None) -> None:
    """See that a folder's name is text, as Arrow needs it in the rows and for the files that it opens."""
    if folder is not None and not is_storable(os.fspath(folder)):
        raise UsageError(
            f"{what} is {printable(os.fspath(folder))}, a name that is not UTF-8, which Arrow takes neither in rows "
            "nor for files: rename that folder, or name another one"
        )


def _folders(layout: Layout) -> list[Path]:
    """The folders of all videos, as far as their ids can be read."""
    found = set()
    for split in layout.splits():
        with contextlib.suppress(AnnotationError):  # said when it is opened
            videos, faults = scan_expressions(layout.split(split))
            ids = [*videos, *(fault.record.video_id for fault in faults if isinstance(fault, UnsizedError))]
            found |= {layout.split(split).video_folder(video_id) for video_id in ids}
    return sorted(folder for folder in found if folder.is_dir())


def _unsized_folders(layout: Layout) -> list[Path]:
    """The folders of the videos that do not say their size, which then is that of their frames."""
    found = set()
    for split in map(layout.split, layout.splits()):
        for video_id in ids_without_size(split.expressions):
            with contextlib.suppress(AnnotationError):  # said when it is opened
                check_relative(video_id, "video id")
                found.add(split.video_folder(video_id))
    return sorted(folder for folder in found if folder.is_dir())


def _frames_state(folder: Path) -> list[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        status = {entry.name: entry.stat() for entry in entries}
    return [(name, one.st_size, one.st_mtime_ns) for name, one in sorted(status.items())]


class Revos(datasets.GeneratorBasedBuilder):
    """ReVOS with a row per expression (config `expressions`, the default) or per video (config `videos`)."""

    BUILDER_CONFIG_CLASS = RevosConfig
    BUILDER_CONFIGS = [
        RevosConfig(name="expressions", description="A row per video and expression, with the masks it means."),
        RevosConfig(name="videos", description="A row per video, with its tracks and all its expressions."),
    ]
    DEFAULT_CONFIG_NAME = "expressions"

    def __init__(
        self,
        *args: Any,
        hash: str | None = None,
        dataset_name: str | None = None,
        data_files: object = None,
        **kwargs: Any,
    ) -> None:
        if data_files:
            raise UsageError("ReVOS is loaded from a folder: pass data_dir='path/to/ReVOS', not data_files")
        if kwargs.get("source") and not kwargs.get("data_dir"):
            from revoskit.getting.download import folder_in_cache

            kwargs["data_dir"] = folder_in_cache(_cache_of(args, kwargs))
        _refuse_unknown(kwargs)
        if kwargs.get("missing_frames") == "skip_video":
            warnings.warn(
                "missing_frames='skip_video' is now faults='skip', which leaves out whatever else is wrong, too",
                FutureWarning,
                stacklevel=2,
            )
            kwargs |= {"missing_frames": "error", "faults": "skip"}
        self._no_cache = "" if args or kwargs.get("cache_dir") else _no_cache()
        if self._no_cache:  # `datasets` makes a folder there whether it is needed or not
            stand_in = tempfile.TemporaryDirectory(prefix="revos-")
            kwargs["cache_dir"] = stand_in.name
            weakref.finalize(self, stand_in.cleanup)
        with storing(_cache_of(args, kwargs)):
            super().__init__(*args, hash=hash or CODE_HASH, dataset_name=dataset_name or NAME, **kwargs)
        if self.config.missing_frames not in ("error", "keep"):
            raise UsageError(f"missing_frames is {self.config.missing_frames!r}: expected 'error' or 'keep'")
        if self.config.faults not in get_args(Faults):
            raise UsageError(f"faults is {self.config.faults!r}: expected 'error' or 'skip'")
        known = FAMILIES[self.config.family].splits if self.config.family in FAMILIES else {}
        if isinstance(self.config.splits, str) or not set(self.config.splits or ()) <= set(known):
            raise UsageError(f"splits is {self.config.splits!r}: expected a list of some of {', '.join(known)}")
        if self.config.source and self.config.family != REVOS:
            raise UsageError(f"source gets the official files of ReVOS, not those of family={self.config.family!r}")
        if self.config.frames not in ("local", "remote"):
            raise UsageError(f"frames is {self.config.frames!r}: expected 'local' or 'remote'")
        if self.config.frames == "remote" and not self.config.source:
            raise UsageError("frames='remote' needs a source: source='hf://datasets/<owner>/<repo>' or 'https://…'")
        if self.config.frame_cache:  # which workers have from their parent
            os.environ[FOLDER_VARIABLE] = os.path.abspath(os.path.expanduser(self.config.frame_cache))
        self.config.token = self.token
        if self.config.frames == "remote":
            _ = self.config.layout  # a source that is no server is told before anything is downloaded
        self._obtained = False
        self._streamed: Any = None  # the split that a stream is being made of
        # Rows in memory at a time, and in a row group when written as Parquet. A row of `videos` holds every track.
        self._writer_batch_size = kwargs.get("writer_batch_size") or (8 if self.config.name == "videos" else 64)

    def _info(self) -> datasets.DatasetInfo:
        if self.config.family != REVOS:
            return _sister_info(self.config.family, self._features())
        return datasets.DatasetInfo(
            description=DESCRIPTION,
            features=self._features(),
            homepage=HOMEPAGE,
            license=LICENSE,
            citation=CITATION,
        )

    def _features(self) -> datasets.Features:
        features = videos_features if self.config.name == "videos" else expressions_features
        return features(self.config.decode_frames)

    def download_and_prepare(self, output_dir: str | None = None, *args: Any, **kwargs: Any) -> None:
        """Build the dataset in the cache, or in a folder that is named; streaming, publishing and `info` need none."""
        if self._no_cache and output_dir is None:
            raise UsageError(
                f"the cache of `datasets` cannot be written ({self._no_cache}): set HF_HOME to a folder that can, or "
                "pass cache_dir='FOLDER'. With streaming=True no cache is needed."
            )
        _require_text("the cache of `datasets`", output_dir or self._cache_dir)
        self._store = output_dir or self._cache_dir_root
        with storing(self._store):
            super().download_and_prepare(output_dir, *args, **kwargs)

    def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """Keep nothing that was made while the annotation files changed."""
        self._obtain()
        _require_text("data_dir", self.config.layout.root)
        try:
            with unchanged(self.config.layout, self.config.state):
                super()._download_and_prepare(*args, **kwargs)
            return
        except OSError as error:  # `datasets` takes each for a data file that it cannot find
            if isinstance(error, RevosError) or not isinstance(error.__context__, RevosError):
                raise
            ours = error.__context__
        raise ours  # not within the block, which would close the circle

    def _obtain(self) -> None:
        if self.config.source and not self._obtained:
            from revoskit.getting import download

            expected = SHA256 if self.config.frames == "local" else _without_archive()
            download.obtain(self.config.layout, self.config.source, expected=expected, token=self.token)
            self._obtained = True

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        self._obtain()
        layout = self.config.layout
        wanted = self._wanted_splits()
        with _naming_splits(wanted, layout):
            splits = open_splits(layout, wanted, silent=True)
            for of_split in splits.values():
                self.config.require_sizes(of_split)
            if self.config.alignment:
                _warn_of_unknown(self.config.alignment, splits)
            for note in published.differences(splits.values()):
                warnings.warn(note, stacklevel=2)
            if self.config.faults == "skip":
                splits = self._leave_out(splits)
            elif self.config.missing_frames == "error":
                _refuse_missing(splits, {split: of_split.missing_frames() for split, of_split in splits.items()})
            splits = _not_empty(splits, self.config.name)
        # The list of ids is what `datasets` divides among processes and streams; masks never travel.
        return [
            datasets.SplitGenerator(
                name=split,
                gen_kwargs={
                    "video_ids": list(annotations.videos),
                    "layout": layout,
                    "split": split,
                    "state": annotations.state,
                },
            )
            for split, annotations in splits.items()
        ]

    def _wanted_splits(self) -> list[str] | None:
        """The splits to open, null for all: for a stream its own alone, as long as no option speaks of all."""
        config: RevosConfig = self.config
        streamed = self._streamed
        about_all = config.splits is not None or config.alignment or config.faults == "skip"
        if about_all or streamed not in config.layout.splits():
            return config.splits
        alone = open_annotations(config.layout, str(streamed), silent=True)
        return [str(streamed)] if _has_rows(alone, config.name) else None  # it is then said which splits have

    def _leave_out(self, splits: dict[str, Annotations]) -> dict[str, Annotations]:
        """The splits without videos whose frames are not as they ought to be; tells of all that is left out."""
        missing = self.config.missing_frames == "error"
        kept = {split: of_split.with_sound_frames(missing=missing) for split, of_split in splits.items()}
        every = LeftOut()
        for of_split in kept.values():
            every.add(of_split.left_out)
        if every:
            tell(every, str(self.config.layout.root), Path(self._cache_dir_root) / NAME)
        return kept

    def _generate_examples(
        self, video_ids: list[str], layout: Layout, split: str, state: FileState
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for video, masks, frames in self._shown(video_ids, layout, split, state):
            if self.config.name == "videos":
                yield video.video_id, video_example(video, masks, frames)
                continue
            for expression in video.expressions:
                key = f"{video.video_id}/{expression.expression_id}"
                yield key, expression_example(video, expression, masks, frames)

    def _generate_tables(
        self, video_ids: list[str], layout: Layout, split: str, state: FileState
    ) -> Iterator[tuple[int, pa.Table]]:
        """The same rows, a batch in each table."""
        tables = video_tables if self.config.name == "videos" else expression_tables
        shown = self._shown(video_ids, layout, split, state)
        yield from enumerate(tables(shown, self.info.features, self._writer_batch_size))

    def _shown(self, video_ids: list[str], layout: Layout, split: str, state: FileState) -> Iterator[Shown]:
        annotations = open_annotations(layout, split, silent=True)
        refuse_changes(layout, state, annotations.state)
        for video_id in video_ids:
            video = annotations.video(video_id)
            yield video, annotations.masks(video), _frames(annotations.files, video, self.config.decode_frames)

    def as_dataset(self, split: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The built rows of `split`, as `datasets` gives them; says of a split without rows why there are none."""
        _require_split(split, self.info.splits or {}, self.config)
        found = super().as_dataset(split, *args, **kwargs)
        if self.config.decode_frames:
            _warn_of_long_rows(found.values() if isinstance(found, dict) else [found])
        return found

    def as_streaming_dataset(self, split: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The rows of `split` as they are read; an unknown split is answered as `as_dataset` does."""
        self._streamed = split
        try:
            return super().as_streaming_dataset(split, *args, **kwargs)
        except ValueError as error:
            if isinstance(error, RevosError) or not str(error).startswith("Bad split"):
                raise
            here = str(error).partition("Available splits: ")[2]
        finally:
            self._streamed = None
        _require_split(split, re.findall(r"'(\w+)'", here), self.config)
        raise UsageError(f"split is {split!r}: a stream takes the whole of a split, one of {here}")

    def _prepare_split(self, *args: Any, **kwargs: Any) -> None:
        """Build a split, and leave none of its processes behind, however it ends."""
        before = active_children()
        try:
            with interrupts_kept_here():
                super()._prepare_split(*args, **kwargs)
        except Exception as error:  # the pool's, which gave up waiting for workers once it was interrupted
            if isinstance(error.__context__, KeyboardInterrupt):
                raise error.__context__ from None
            raise
        finally:  # what was just being started then is in nobody's hands, and Python waits for it at its exit
            for child in active_children():
                if child not in before:
                    child.kill()
                    child.join()

    def _prepare_split_single(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Write tables rather than examples, and let our own errors through: their message is the one that helps.

        A full disk is said here, since what an error comes of does not travel from a worker to its parent.
        """
        with _plain_memory(), storing(self._store, datasets.exceptions.DatasetGenerationError):
            yield from self._prepare_split_alone(*args, **kwargs)

    def _prepare_split_alone(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        try:
            # Features of the user's own are for `datasets` to encode.
            known = not args and kwargs.keys() - _ABOUT_EXAMPLES == _WRITES_TABLES
            if known and self.info.features == self._features():
                how = {name: kwargs[name] for name in _WRITES_TABLES}
                yield from datasets.ArrowBasedBuilder._prepare_split_single(self, **how)
            else:
                yield from super()._prepare_split_single(*args, **kwargs)
            return
        except datasets.exceptions.DatasetGenerationError as error:
            if not isinstance(error.__cause__, RevosError):
                raise
            ours = error.__cause__
        # Not within the block above: it would get that error for its context, and is itself the cause of it. Whoever
        # walks such a chain never ends.
        raise ours


@contextlib.contextmanager
def _plain_memory() -> Iterator[None]:
    """Let Arrow take memory from the system: its own pool keeps tens of megabytes of what tables before have taken."""
    pool = pa.default_memory_pool()
    if pool.backend_name == "system":  # perhaps by a build in another thread, which gives the other one back
        yield
        return
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(pool)


def _parameters_of_writing_tables() -> Collection[str]:
    """What the method that writes tables takes, of the builders that make tables; none where it is unlike those known.

    A builder of ours makes examples, as streams and `datasets` itself expect, and borrows that method: nothing else
    writes the same files, with the same shards and metadata, from tables. Where it is not, examples are written.
    """
    method = getattr(datasets.ArrowBasedBuilder, "_prepare_split_single", None)
    known = {"gen_kwargs", "fpath", "file_format", "max_shard_size", "job_id"}
    taken = set() if method is None else inspect.signature(method).parameters.keys() - {"self"}
    return known if taken == known else ()


_WRITES_TABLES = _parameters_of_writing_tables()
_ABOUT_EXAMPLES = {"split_info", "check_duplicate_keys"}  # ids are keys of JSON objects, in which none is there twice


def _cache_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | os.PathLike[str]:
    """The cache that a builder with these arguments uses, the first of which names it."""
    found: str | os.PathLike[str] = (args[0] if args else kwargs.get("cache_dir")) or datasets.config.HF_DATASETS_CACHE
    return found


def _refuse_unknown(kwargs: dict[str, Any]) -> None:
    """Say of a mistyped option which one is meant; `datasets` prints the whole config."""
    ours = [option.name for option in fields(RevosConfig) if option.init]
    options = ["data_dir", *(name for name in ours if name in RevosConfig.__annotations__ and name != "version")]
    known = {*ours, *inspect.signature(datasets.DatasetBuilder.__init__).parameters}
    for name in kwargs.keys() - known:
        near = difflib.get_close_matches(name, options, 1)
        meant = f": did you mean {near[0]!r}?" if near else "."
        raise UsageError(f"there is no option {name!r}{meant} The options are {', '.join(options)}.")


def _require_split(split: Any, here: Collection[str], config: RevosConfig) -> None:
    """See that a split that is asked for by name, perhaps with a slice of it, has rows."""
    name = re.split(r"\W", split, maxsplit=1)[0] if isinstance(split, str) else ""
    if not name or name in here or name == "all":
        return
    family = FAMILIES[config.family]
    if name not in family.splits:
        near = difflib.get_close_matches(name, family.splits, 1)
        meant = f": did you mean {near[0]!r}?" if near else "."
        raise UsageError(f"there is no split {name!r}{meant} {family.title} has {', '.join(family.splits)}.")
    raise MissingFilesError(
        f"the split {name!r} has no rows: {config.layout.split(name).expressions} is absent, empty, or names no video "
        f"that could be loaded. Here are {', '.join(here)}. `revoskit check {config.layout.root} --split {name}` says "
        "what is wrong"
    )


def _warn_of_long_rows(rows: Any) -> None:
    """Say what opening one of the longest rows takes, before somebody's `filter` opens all of them.

    Here and not where a row is opened: a feature of our own, which could tell, would be in files that others read.
    """
    most = 0  # bytes of RGB
    for one in rows:
        table = one.select_columns(["height", "width", "frame_names"]).with_format("arrow")[:]
        pixels = pc.multiply(table["height"].cast("int64"), table["width"])
        most = max(most, 3 * (pc.max(pc.multiply(pixels, pc.list_value_length(table["frame_names"]))).as_py() or 0))
    if most > LONG_ROW_BYTES:
        warnings.warn(
            f"decode_frames=True: the longest row decodes to {most / 1e6:,.0f} MB of pictures whenever it is touched, "
            "in `filter` and `map` too. Choose rows first, without this option (docs/subsets.md), or take Clips",
            stacklevel=3,
        )


def _sister_info(family: str, features: datasets.Features) -> datasets.DatasetInfo:
    """What can be said of another dataset that is loaded in the columns of ReVOS: neither its license nor its paper."""
    if family not in FAMILIES:
        raise UsageError(f"family is {family!r}: expected one of {', '.join(FAMILIES)}")
    sister = FAMILIES[family]
    description = f"{sister.title}, in the columns of ReVOS. Its license and citation: {sister.homepage}"
    return datasets.DatasetInfo(description=description, features=features, homepage=sister.homepage)


def _without_archive() -> dict[str, str]:
    return {name: digest for name, digest in SHA256.items() if name != FRAMES_ARCHIVE}


def _frames(files: SplitFiles, video: Video, decode: bool) -> list[EncodedFrame | None]:
    """The frames in the form that `datasets` stores, so that it need not encode them; null where one is missing."""
    found = files.frames(video)
    if decode:  # `datasets` turns frames whose EXIF data say so, and masks follow the file's own rows and columns
        return [None if frame is None else frame.unturned_row() for frame in found]
    return [None if frame is None else frame.row() for frame in found]


@contextlib.contextmanager
def _naming_splits(wanted: list[str] | None, layout: Layout) -> Iterator[None]:
    """Where something is wrong, say how to do without the split that it is in."""
    try:
        yield
    except (AnnotationError, MissingFilesError) as error:
        faulty = str(getattr(error, "file", None))
        others = [name for name in layout.splits() if str(layout.split(name).expressions) != faulty]
        if wanted is not None or len(others) < 2:
            raise
        raise error.advising(
            f"`datasets` builds every split, whichever is asked for: splits=[{others[0]!r}] builds that one alone."
        ) from None


def _warn_of_unknown(alignment: str, splits: dict[str, Annotations]) -> None:
    known = {video_id for split in splits.values() for video_id in [*split.videos, *split.unsized]}
    unknown = read_mapping(alignment).keys() - known
    if unknown:
        warnings.warn(
            f"{alignment} maps {len(unknown)} videos that {', '.join(splits)} have not, such as {min(unknown)!r}",
            stacklevel=2,
        )


def _not_empty(splits: dict[str, Annotations], config: str) -> dict[str, Annotations]:
    """The splits that have rows, since `datasets` cannot give one without; says what is left out.

    Raises:
        MissingFilesError: no split has any.
    """
    kept, notes = {}, []
    for split, of_split in splits.items():
        if _has_rows(of_split, config):
            kept[split] = of_split
        elif of_split.videos:
            notes.append(f"{split} is left out: its videos have no expressions that could be loaded")
        elif of_split.left_out:
            notes.append(f"{split} is left out: something is wrong with each of its videos")
        else:
            notes.append(f"{split} is left out: {of_split.files.expressions} has no videos")
    if not kept:
        raise MissingFilesError(
            "\n  ".join(["there is nothing to load:", *notes])
            + f"\nPut the frames under {_frame_places(splits)}, or load with missing_frames='keep' "
            "(null in place of a missing frame)."
        )
    for note in notes:
        warnings.warn(note, stacklevel=3)
    return kept


def _has_rows(split: Annotations, config: str) -> bool:
    return any(config == "videos" or video.expressions for video in split)


def _frame_places(splits: dict[str, Annotations]) -> str:
    return " or ".join(dict.fromkeys(of_split.files.frame_places for of_split in splits.values()))


def _refuse_missing(splits: dict[str, Annotations], incomplete: dict[str, dict[str, list[str]]]) -> None:
    lines = []
    for split, videos in incomplete.items():
        if not videos:
            continue
        unsized = [error.record for error in splits[split].unsized.values()]
        listed = sum(len(video.frame_names) for video in [*splits[split], *unsized])
        missing = [f"{video_id}/{name}.jpg" for video_id, names in videos.items() for name in names]
        first = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        lines.append(
            f"  {split}: {len(missing):,} of {listed:,} frames, in {len(videos):,} of "
            f"{len(splits[split].videos) + len(unsized):,} videos: {first}"
        )
    if lines:
        layout = next(iter(splits.values())).layout
        archive = f"Put {FRAMES_ARCHIVE} into {layout.root}, where it need not be unpacked"
        beside = "Put the frames there, or their archive beside the folder, where it need not be unpacked"
        get_them = archive if layout.family == REVOS else beside
        split, videos = next((split, videos) for split, videos in incomplete.items() if videos)
        video_id, names = next(iter(videos.items()))
        instead = about_frames(splits[split].files.video_folder(video_id), names)
        keep = " or missing_frames='keep' (null in place of a missing frame)."
        raise MissingFilesError(
            "\n".join([f"frames that the annotations list are not under {_frame_places(splits)}:", *lines])
            + (f"\n{instead.strip()}" if instead else "")
            + f"\n{get_them}. Or load what is here with faults='skip' (leaves their "
            "videos out)" + ("." if any(of_split.unsized for of_split in splits.values()) else keep)
        )


def _register() -> None:
    """Make `load_dataset("revos")` find this module.

    What it touches is private to `datasets`; `_make_known` reports it where that fails, and `Revos(...)` goes on
    working. The factory answers for our name itself: the stock one would match patterns against every file under
    `data_dir`, or under the working directory, at each call, and count the load at a server.
    """
    from datasets.load import DatasetModule, PackagedDatasetModuleFactory
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

    class RevosModuleFactory(PackagedDatasetModuleFactory):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            self.name, self.data_files = name, kwargs.get("data_files")
            if name != NAME:
                super().__init__(name, *args, **kwargs)

        def get_module(self) -> DatasetModule:
            if self.name != NAME:
                return super().get_module()
            files = self.data_files or DataFilesDict()  # None would be taken for "nothing to load"
            return DatasetModule(__name__, CODE_HASH, {"data_files": files, "dataset_name": NAME})

    _PACKAGED_DATASETS_MODULES[NAME] = (__name__, CODE_HASH)
    datasets.load.PackagedDatasetModuleFactory = RevosModuleFactory


def _make_known() -> None:
    try:
        _register()
    except (ImportError, AttributeError, TypeError) as error:
        warnings.warn(
            f"load_dataset({NAME!r}) cannot be made to work on datasets {datasets.__version__} ({error}). This does: "
            "builder = revos.Revos(data_dir=...); builder.download_and_prepare(); builder.as_dataset()",
            stacklevel=2,
        )


if __name__ == NAME:  # not where datasets 3 runs a copy of this file as a loading script
    _make_known()

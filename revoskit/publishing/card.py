"""The card of a published dataset, its README.md: what the Hub and `datasets` read, then what people read."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Collection

from datasets import DatasetInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData
from tabulate import tabulate

from revoskit.dataset.layout import FRAMES_ARCHIVE
from revoskit.dataset.records import ExpressionType
from revoskit.publishing.preview import MOST_SIDE, PREVIEW
from revoskit.publishing.shards import Content, WrittenShard, published_features
from revoskit.stats import ALL_SOURCES, Counts

LICENSE = "cc-by-nc-sa-4.0"
REPOSITORY = "OWNER/NAME"
COPYRIGHT = (
    "ReVOS is licensed under CC BY-NC-SA 4.0 and released for non-commercial research only. Its videos were taken from "
    "MOSE, MeViS, LV-VIS, OVIS, TAO and UVO; their copyright stays with the organizers of those datasets."
)


def card(
    about: DatasetInfo,
    content: Content,
    written: list[WrittenShard],
    counts: list[Counts],
    repository: str | None = None,
) -> str:
    """The text of the card.

    Args:
        about: description, citation and homepage.
        content: what was put into the shards.
        written: the shards in place; splits, sizes and configs are theirs.
        counts: of the same splits, as `stats.count` gives them.
        repository: what the examples load.
    """
    configs = _configs(written)
    shown = configs[0] == PREVIEW
    data = configs[1:] if shown else configs
    parts = [
        f"---\n{_metadata(content, written)}---",
        "# ReVOS",
        f"{about.description} These are the paper's totals; what is here is counted below.",
        f"Official page: {about.homepage}",
        "## Load it",
        _how_to_load(data, list(_splits(configs[-1], written)), content, repository or REPOSITORY) if data else "",
        _NOT_THE_PREVIEW if shown and data else "",
        "## What is in it",
        _numbers(counts),
        _columns(configs, content, written),
        "## License",
        COPYRIGHT,
        frames_note(configs, content),
        "## Citation",
        f"```bibtex\n{about.citation}\n```",
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    return f"{text}\n{_seal(text)}\n"


_SEAL = "<!-- Written by `revoskit publish`, which leaves it as it is once it is edited. {digest} -->"


def _seal(text: str) -> str:
    return _SEAL.format(digest=hashlib.sha256(text.encode()).hexdigest()[:16])


def is_edited(text: str) -> bool:
    """Whether a card is no longer as it was written."""
    above, _, seal = text.rstrip("\n").rpartition("\n")
    return seal != _seal(above)


# --- for machines -----------------------------------------------------------------------------------------------------


def _metadata(content: Content, written: list[WrittenShard]) -> str:
    configs = _configs(written)
    data = DatasetCardData(
        pretty_name="ReVOS",
        license=LICENSE,
        language=["en"],
        task_categories=["image-segmentation", "mask-generation"],
        tags=["video", "video-object-segmentation", "reasoning-segmentation", "referring-segmentation"],
        size_categories=[_size_category(sum(rows for rows, _ in _splits(_counted(configs), written).values()))],
        configs=[
            {
                "config_name": config,
                "data_files": _data_files(config, written),
                **({"default": True} if config == configs[0] else {}),  # as in the builder, unless there is a preview
            }
            for config in configs
        ],
    )
    infos = DatasetInfosDict({config: _dataset_info(config, content, written) for config in configs})
    infos.to_dataset_card_data(data)
    return data.to_yaml().strip() + "\n"


def squeezed_videos(written: list[WrittenShard]) -> list[str]:
    """Those whose frames were encoded anew for a row to hold them."""
    return list(dict.fromkeys(video_id for one in written for video_id in one.squeezed))


def scaled_videos(written: list[WrittenShard]) -> list[str]:
    """Those some of whose frames had another size than the annotations say, and were brought to that."""
    return list(dict.fromkeys(video_id for one in written for video_id in one.scaled))


def _configs(written: list[WrittenShard]) -> list[str]:
    return list(dict.fromkeys(one.shard.config for one in written))


def _counted(configs: list[str]) -> str:
    """The config whose rows are the examples."""
    return "expressions" if "expressions" in configs else configs[0]


def _data_files(config: str, written: list[WrittenShard]) -> list[dict[str, str]]:
    """The shards by split. Their number is part of the pattern: older ones may still lie in the same repository."""
    patterns = {one.shard.split: one.shard.pattern for one in written if one.shard.config == config}
    return [{"split": split, "path": pattern} for split, pattern in patterns.items()]


def _splits(config: str, written: list[WrittenShard]) -> dict[str, tuple[int, int]]:
    """Rows, and the bytes that they take once loaded, by split."""
    splits: dict[str, tuple[int, int]] = {}
    for one in written:
        if one.shard.config == config:
            rows, num_bytes = splits.get(one.shard.split, (0, 0))
            splits[one.shard.split] = (rows + one.shard.rows, num_bytes + one.num_bytes)
    return splits


def _dataset_info(config: str, content: Content, written: list[WrittenShard]) -> DatasetInfo:
    """Without the rows of each split: `datasets` would take those for a promise, and refuse to load with `filters`."""
    return DatasetInfo(
        config_name=config,
        features=published_features(config, content),
        download_size=sum(one.file_bytes for one in written if one.shard.config == config),
        dataset_size=sum(num_bytes for _, num_bytes in _splits(config, written).values()),
    )


def _size_category(rows: int) -> str:
    for below, name in [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]:
        if rows < below:
            return name
    return "1M<n<10M" if rows < 10_000_000 else "n>10M"


# --- for people -------------------------------------------------------------------------------------------------------

_NOT_THE_PREVIEW = (
    "Name the config: without a name, `preview` is loaded, which is for looking at and holds no masks to compute with."
)

_JOIN = """\
```python
from datasets import load_dataset
from PIL import Image
from pycocotools.mask import decode

row = next(iter(load_dataset("{repository}", "expressions", split="{split}", streaming=True)))
its = [("video_id", "==", row["video_id"])]  # read nothing but that video
video = next(iter(load_dataset("{repository}", "videos", split="{split}", streaming=True, filters=its)))
frames = [Image.open({frame}) for {each}]
masks = decode(row["masks"])  # height x width x frames, 1 on the object
```"""

_ALONE = """\
```python
from datasets import load_dataset

dataset = load_dataset("{repository}", "{config}", split="{split}", streaming=True)
for row in dataset:
    print(row["video_id"], row["height"], row["width"])
```"""


def _how_to_load(configs: list[str], splits: list[str], content: Content, repository: str) -> str:
    split = "validation" if "validation" in splits else splits[0]
    if len(configs) == 1:
        code = _ALONE.format(repository=repository, config=configs[0], split=split)
        return f"`{repository}` is its name on the Hub, or the path of this folder.\n\n{code}"
    if content.frames == "embed":
        code = _JOIN.replace("from datasets", "from io import BytesIO\n\nfrom datasets", 1)
        code = code.format(
            repository=repository, split=split, frame='BytesIO(frame["bytes"])', each='frame in video["frames"]'
        )
        about_frames = (
            "Frames lie in `videos` alone, once, as JPEG bytes that nobody decodes before they are opened; "
            '`videos.cast_column("frames", [Image()])` (with `from datasets import Image`) gives pictures instead, all '
            "those of a row at once. "
        )
    else:
        code = _JOIN.format(
            repository=repository,
            split=split,
            frame="f\"ReVOS/JPEGImages/{row['video_id']}/{name}.jpg\"",
            each='name in row["frame_names"]',
        )
        about_frames = (
            f"The frames are not here: they are in the official `{FRAMES_ARCHIVE}`, unpacked as "
            "`ReVOS/JPEGImages/<video_id>/<frame name>.jpg`. "
        )
    return (
        f"`{repository}` is its name on the Hub, or the path of this folder. Joining an expression to its video:\n\n"
        f"{code}\n\n{about_frames}With `streaming=True` nothing is downloaded beforehand; a row of `videos` then has "
        "all that is needed, since it holds the video's expressions and tracks too."
    )


def _numbers(counts: list[Counts]) -> str:
    kinds = [kind.label for kind in ExpressionType]
    rows = []
    for row in counts:
        split = row.split if row.source == ALL_SOURCES else ""
        numbers = [row.videos, row.frames, row.tracks, sum(row.expressions.values())]
        numbers += [row.expressions[kind] for kind in kinds]
        rows.append([split, _cell(row.source), *(f"{number:,}" for number in numbers)])
    headers = ["split", "source", "videos", "frames", "tracks", "expressions", *kinds]
    alignment = ["left", "left", *["right"] * (len(headers) - 2)]
    return tabulate(rows, headers, tablefmt="github", colalign=alignment, disable_numparse=True)


def _cell(text: str) -> str:
    """A name from a data file as it is, whatever Markdown would make of it."""
    return re.sub(r"[|\\`*_~\[\]]", lambda found: f"&#{ord(found[0])};", html.escape(" ".join(text.split())))


def _columns(configs: list[str], content: Content, written: list[WrittenShard]) -> str:
    said = ["Counted in this data. Masks are COCO run-length encodings, one per frame, in the order of `frame_names`."]
    if PREVIEW in configs:
        said.append(
            "`preview` has a row per video and expression, to be looked at: in `picture` the first, the middle and the "
            "last frame in which its objects are seen, with the masks drawn on them (as they come where there is no "
            f"object), {MOST_SIDE} pixels a side at most; and in `covered_percent` how much of the video is masked."
        )
    if "expressions" in configs:
        said.append(
            "`expressions` has a row per video and expression. `masks` is the union of the objects that it means, "
            "empty where there is none; `video_index` is the row of its video in the same split of "
            + ("`videos`." if "videos" in configs else "config `videos`, which is not here.")
        )
    if "videos" in configs:
        said.append(
            "`videos` has a row per video: every track as annotated (null where the object is not), the expressions "
            "that point to the tracks by `annotation_ids`, and `foreground`, the union of all objects."
        )
    if content.max_side is not None:
        said.append(
            f"**Smaller than the original:** frames whose longer side exceeded {content.max_side} pixels were made "
            "smaller and encoded anew; masks, `height` and `width` fit them. Scores against these masks are not "
            "comparable to published ones."
        )
    if squeezed := squeezed_videos(written):
        named = ", ".join(map(_cell, squeezed))
        said.append(
            f"**Not as filed:** the frames of {named} take more than a row can hold. The largest of them were "
            "encoded anew at a lower JPEG quality and the same size in pixels; masks fit them as they are."
        )
    if scaled := scaled_videos(written):
        said.append(
            f"**Not as filed:** frames of {', '.join(map(_cell, scaled))} have another size on disk than the "
            "annotations say. They were resized to `height` and `width`, which the masks fit, and encoded anew."
        )
    return "\n\n".join(said)


def frames_note(configs: Collection[str], content: Content) -> str:
    """Whether what is published shows the videos' frames, and what follows from that; empty where nobody would ask."""
    if "videos" in configs and content.frames == "embed":
        return "This copy holds frames of those videos: pass it on only as their own terms allow."
    if PREVIEW in configs:
        return "This copy holds small pictures of those videos' frames: pass it on only as their own terms allow."
    return "This copy holds annotations only, none of the videos' frames." if "videos" in configs else ""

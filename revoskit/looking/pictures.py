"""Pictures of the dataset: masks laid over frames, contact sheets, and animations as GIF or MP4."""

from __future__ import annotations

import difflib
import itertools
import math
import os
import textwrap
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import GifImagePlugin, Image, ImageDraw, ImageFont

from revoskit.atomic import replacing, whole
from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.layout import Layout
from revoskit.dataset.records import Expression, Video
from revoskit.errors import AnnotationError, UsageError
from revoskit.frames import Frame, at_hand
from revoskit.masks.rle import MaskSequence
from revoskit.scoring.compare import method_names
from revoskit.scoring.measures import boundary_measure, region_similarity
from revoskit.scoring.predictions import open_predictions
from revoskit.text import printable

Color = tuple[int, int, int]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Okabe and Ito's colours, which people with any colour vision can tell apart; yellow last, it is weak on white.
PALETTE: list[Color] = [
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
    (240, 228, 66),
]
PREDICTION_COLORS: list[Color] = [(220, 38, 127), (100, 63, 225), (255, 255, 255)]  # none of the tracks' colours

PAPER, INK, FAINT = (255, 255, 255), (28, 29, 31), (104, 107, 114)
ABSENT = (222, 223, 226)  # stands in for a frame that is not on disk
MARGIN, GAP = 24, 10
LABEL, BETWEEN = 26, 4  # below a frame for its name; from panel to panel
ABOVE, BELOW = 30, 22  # the frames of an animation, for what they are
GIF_MOST_FPS = 50  # a GIF counts hundredths of a second, and players slow down what has less than two
LONG_GIF = 300
"""Of more frames than this a GIF is so large that an MP4, which takes a fraction of the room, is the better form."""
MOST_A_SIDE = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383, ".gif": 65_535, ".mp4": 16_384}
"""Pixels that the writer of each kind of picture can do, one way."""
MOST_PIXELS = 89_478_485
"""Of a whole picture: from here on Pillow takes one for a decompression bomb when it is opened, and warns."""
FONTS = ("DejaVuSans.ttf", "Arial.ttf", "arial.ttf")  # Pillow looks for them where each system keeps its fonts
FONTS_BOLD = ("DejaVuSans-Bold.ttf", "Arial Bold.ttf", "arialbd.ttf")


def overlay(
    image: Image.Image,
    masks: Sequence[np.ndarray],
    *,
    colors: Sequence[Color] = PALETTE,
    opacity: float = 0.45,
    outline: int = 2,
) -> Image.Image:
    """A frame with masks on it, each tinted in a colour of its own and outlined.

    Args:
        image: the frame, width x height pixels.
        masks: arrays (height, width); what is not zero is object. Later ones lie on top.
        colors: RGB, one a mask, starting over when they run out.
        opacity: of the tint, 0 to 1.
        outline: width of the line along the inner side of a mask's edge, in pixels; 0 for none.
    """
    pixels = np.asarray(image.convert("RGB"), np.float32).copy()
    for i, mask in enumerate(masks):
        inside = np.asarray(mask) != 0
        color = np.asarray(colors[i % len(colors)], np.float32)
        pixels[inside] += (color - pixels[inside]) * opacity
        if outline:
            pixels[inside & ~_eroded(inside, outline)] = color
    return Image.fromarray(pixels.round().astype(np.uint8))


def _eroded(mask: np.ndarray, steps: int) -> np.ndarray:
    """The mask less `steps` pixels along its edge; the picture's border counts as an edge."""
    for _ in range(steps):
        padded = np.pad(mask, 1)
        mask = mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask


# --- what to show -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """One object in a panel: what the legend calls it, its masks over the video, its colour."""

    name: str
    masks: MaskSequence
    color: Color


@dataclass(frozen=True)
class Panel:
    """One view of every frame, such as the ground truth; its layers lie on each other in this order."""

    title: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Scene:
    """What a picture is of: a video's frames (null where one is not on disk) and the panels that stand side by side."""

    video: Video
    heading: str
    caption: str
    frames: tuple[Frame | None, ...]
    panels: tuple[Panel, ...]
    hidden_split: str | None = None
    """The split that the video is of, where that keeps its masks back."""

    @property
    def frame_count(self) -> int:
        return len(self.video.frame_names)

    @property
    def missing_frames(self) -> list[str]:
        return [name for name, frame in zip(self.video.frame_names, self.frames, strict=True) if frame is None]


def find_video(layout: Layout, video_id: str) -> tuple[Annotations, Video]:
    """A video and the annotations of the split that has it.

    Raises:
        AnnotationError: no split has it; the message names ids that look like it. Or nothing tells its size, or a
            split that might have it cannot be read.
    """
    layout.require()
    splits, unreadable = {}, None
    for name in layout.splits():
        try:
            split = splits[name] = open_annotations(layout, name)
        except AnnotationError as error:
            unreadable = unreadable or error
            continue
        if video_id in split.videos:
            return split, split.video(video_id)
        if video_id in split.unsized:
            raise split.unsized[video_id]
    if unreadable is not None:
        raise unreadable
    known = list(dict.fromkeys(known for split in splits.values() for known in split.videos))
    alike = [known_id for known_id in known if video_id in known_id] or difflib.get_close_matches(
        video_id, known, 3, 0.75
    )
    raise AnnotationError(
        f"no split under {layout.root} ({', '.join(splits)}) has a video {video_id!r}. "
        + (
            f"Did you mean {', '.join(map(repr, alike[:3]))}?"
            if alike
            else f"Ids look like {known[0]!r}."
            if known
            else ""
        )
    )


def find_expression(video: Video, expression_id: str) -> Expression:
    """The expression of that id.

    Raises:
        AnnotationError: the video has none; the message lists those that it has.
    """
    for expression in video.expressions:
        if expression.expression_id == expression_id:
            return expression
    known = "\n".join(f"  {e.expression_id}  {textwrap.shorten(e.text, 90)}" for e in video.expressions)
    raise AnnotationError(f"video {video.video_id!r} has no expression {expression_id!r}. It has:\n{known}")


def scene(
    annotations: Annotations,
    video: Video,
    expression: Expression | None = None,
    predictions: Mapping[str, MaskSequence] | None = None,
) -> Scene:
    """The objects that an expression means, or without one every track of the video; each in a colour of its own.

    Args:
        predictions: the masks of methods for the expression, one per frame, by the methods' names. Each has a panel
            beside the ground truth, and in the legend its J&F over all frames, in percent, where there is an object to
            find.
    """
    masks = annotations.masks(video)
    objects = video.objects()
    colors = {i: PALETTE[number % len(PALETTE)] for number, i in enumerate(objects)}
    ids = tuple(objects if expression is None else dict.fromkeys(expression.annotation_ids))
    truth = tuple(Layer(f"object {objects[i]} (track {i})", masks.track(i), colors[i]) for i in ids)
    panels = [Panel("masks kept back" if annotations.hidden else "ground truth", truth)]
    scores = {}
    for number, (name, predicted) in enumerate((predictions or {}).items()):
        color = PREDICTION_COLORS[number % len(PREDICTION_COLORS)]
        if ids and not annotations.hidden:
            scores[name] = _score(masks.union(ids), predicted)
        of_method = f"{name} · J&F {scores[name]:.1f}" if name in scores else name
        panels.append(Panel(name, (Layer(of_method, predicted, color),)))
    count = f"{len(video.frame_names)} frames of {video.width}×{video.height}"
    if expression is None:
        tracks = "" if annotations.hidden else f"{len(ids)} tracks · "
        heading, about = video.video_id, f"{tracks}{len(video.expressions)} expressions"
    else:
        kind = f"{expression.type.label} · " if expression.type is not None else ""
        heading, about = expression.text, f"{kind}{video.video_id} · expression {expression.expression_id}"
    if len(scores) == 2:
        about += f" · {_verdict(scores)}"
    return Scene(
        video,
        " ".join(heading.split()) or "(no text)",
        f"{about} · {count}" + (" · masks kept back" if annotations.hidden else ""),
        tuple(annotations.files.frames(video)),
        tuple(panels),
        annotations.split if annotations.hidden else None,
    )


def _score(truth: MaskSequence, predicted: MaskSequence) -> float:
    """J&F of one expression, in percent, as the protocol `binary` has it."""
    return 50 * float(region_similarity(truth, predicted).mean() + boundary_measure(truth, predicted).mean())


def _verdict(scores: Mapping[str, float]) -> str:
    (a, of_a), (b, of_b) = scores.items()
    return f"{a if of_a > of_b else b} ahead by {abs(of_a - of_b):.1f}" if abs(of_a - of_b) >= 0.05 else "level"


def find_scene(
    layout: Layout,
    video_id: str,
    expression_id: str | None = None,
    predictions: Sequence[str | os.PathLike[str]] = (),
    names: Sequence[str] | None = None,
) -> Scene:
    """The scene of a video, or of one of its expressions, by id, in whatever split it is.

    Args:
        predictions: of methods, as `evaluate` takes them; each has a panel of its own.
        names: what to call the methods (default: "prediction" for one, the ends of their paths for several).

    Raises:
        UsageError: predictions without an expression, one of them has nothing usable for it, or names that are not one
            each.
    """
    annotations, video = find_video(layout, video_id)
    if expression_id is None:
        if predictions:
            raise UsageError("a prediction answers one expression: name the expression too")
        return scene(annotations, video)
    expression = find_expression(video, expression_id)
    called = method_names(predictions, names) if len(predictions) > 1 else tuple(names or ["prediction"])
    if predictions and len(called) != len(predictions):
        raise UsageError(f"there are {len(predictions)} methods and {len(called)} names for them: name each")
    found = {
        name: _predicted(one, annotations, video, expression) for name, one in zip(called, predictions, strict=False)
    }
    return scene(annotations, video, expression, found)


def _predicted(
    predictions: str | os.PathLike[str], annotations: Annotations, video: Video, expression: Expression
) -> MaskSequence:
    found = open_predictions(predictions, annotations).read(video, expression)
    if found.binary is None:
        assert found.problem is not None  # without masks there is a reason
        raise UsageError(
            f"{predictions} has no usable prediction for expression {expression.expression_id!r} of "
            f"{video.video_id!r} ({found.problem.kind.value}): {found.problem.reason}"
        )
    return found.binary.unpack()


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """`wanted` of the indices 0 to `count` - 1, first and last among them; all where there are no more than that."""
    if wanted >= count:
        return list(range(count))
    if wanted == 1:
        return [count // 2]
    return [round(i * (count - 1) / (wanted - 1)) for i in range(wanted)]


# --- drawing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Style:
    """How masks are laid over frames: `opacity` of the tint from 0 to 1, `outline` and `panel_width` in pixels."""

    opacity: float = 0.45
    outline: int = 2
    panel_width: int | None = None  # by default as wide as the video, but no more than 640

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise UsageError(f"opacity is {self.opacity}: expected a number from 0 (clear) to 1 (solid)")
        if self.outline < 0:
            raise UsageError(f"outline is {self.outline} pixels: expected 0 or more")
        if self.panel_width is not None and self.panel_width < 1:
            raise UsageError(f"panel_width is {self.panel_width} pixels: expected 1 or more")

    def panel_size(self, video: Video) -> tuple[int, int]:
        """Width and height of one panel."""
        width = self.panel_width or min(video.width, 640)
        return width, max(1, round(video.height * width / video.width))


def save(
    subject: Scene,
    path: str | os.PathLike[str],
    *,
    frames: int = 6,
    fps: float = 6,
    style: Style | None = None,
    progress: Callable[[int], object] = lambda count: None,
) -> None:
    """Write what the file's ending asks for: a .gif or .mp4 of every frame, or a contact sheet as .png, .jpg or .webp.

    Raises:
        UsageError: another ending, or a picture that is larger than such files can be, before anything is drawn.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind in (".gif", ".mp4"):
        save_animation(subject, path, fps=fps, style=style, progress=progress)
    elif kind in (".png", ".jpg", ".jpeg", ".webp"):
        laid_out = _laid_out(subject, frames, style)
        _require_size(laid_out.size, _FEWER_FRAMES, kind)
        sheet = _drawn(laid_out)
        with whole(path) as file:
            sheet.save(file, Image.registered_extensions()[kind], quality=90)
    else:
        raise UsageError(
            f"{path.name!r} ends in none of .png, .jpg, .webp (a contact sheet), .gif and .mp4 (every frame)"
        )


def contact_sheet(subject: Scene, *, frames: int = 6, style: Style | None = None) -> Image.Image:
    """Evenly spaced frames with their masks on one page, under the expression, its type and a legend.

    Raises:
        UsageError: there are no frames to be on it, or it would have more than `MOST_PIXELS`.
    """
    return _drawn(_laid_out(subject, frames, style))


@dataclass(frozen=True)
class _Sheet:
    """A contact sheet before its frames are drawn: which they are, in how many columns, under what."""

    subject: Scene
    chosen: list[int]
    style: Style
    columns: int
    header: Image.Image

    @property
    def tile(self) -> tuple[int, int]:
        """Width and height of all panels of a frame."""
        width, height = self.style.panel_size(self.subject.video)
        return _tile_width(self.subject, width), height

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the page."""
        rows = -(-len(self.chosen) // self.columns)
        height = self.header.height + rows * (self.tile[1] + LABEL + GAP) - GAP + MARGIN // 2
        return _page_width(self.columns, self.tile[0]), height


def _laid_out(subject: Scene, frames: int, style: Style | None) -> _Sheet:
    if frames < 1:
        raise UsageError(f"frames is {frames}: a contact sheet needs at least one")
    video = subject.video
    chosen = evenly_spaced(len(video.frame_names), frames)
    if style is None or style.panel_width is None:
        style = _fitting(style or Style(), video, len(chosen) * len(subject.panels))
    panel_width, panel_height = style.panel_size(video)
    tile_width = _tile_width(subject, panel_width)
    columns = _columns(len(chosen), tile_width, panel_height)
    return _Sheet(subject, chosen, style, columns, _header(subject, _page_width(columns, tile_width)))


def _drawn(sheet: _Sheet) -> Image.Image:
    page = _blank(sheet.size, _FEWER_FRAMES)
    page.paste(sheet.header, (0, 0))
    draw = ImageDraw.Draw(page)
    subject, style = _at_hand(sheet.subject, sheet.chosen), sheet.style
    panel_width, _ = style.panel_size(subject.video)
    for place, index in enumerate(sheet.chosen):
        left = MARGIN + place % sheet.columns * (sheet.tile[0] + GAP)
        top = sheet.header.height + place // sheet.columns * (sheet.tile[1] + LABEL + GAP)
        page.paste(_tile(subject, index, style), (left, top))
        name = subject.video.frame_names[index]
        for number, panel in enumerate(subject.panels):
            at = left + number * (panel_width + BETWEEN), top + sheet.tile[1] + 5
            draw.text(
                at, _fit(_label(subject, name, panel, panel_width), _font(13), panel_width), FAINT, font=_font(13)
            )
    return page


def _label(subject: Scene, frame: str, panel: Panel, width: int) -> str:
    """What stands under a panel: the frame under the first, with its title if that has room; the title under others."""
    if panel is not subject.panels[0]:
        return panel.title
    both = f"{frame}  {panel.title}"
    return both if len(subject.panels) > 1 and _font(13).getlength(both) <= width else frame


def _tile_width(subject: Scene, panel_width: int) -> int:
    return panel_width * len(subject.panels) + BETWEEN * (len(subject.panels) - 1)


def _page_width(columns: int, tile_width: int) -> int:
    return 2 * MARGIN + columns * tile_width + (columns - 1) * GAP


_FEWER_FRAMES = "Show fewer frames (--frames)"
_SMALLER_PANELS = "Make panels smaller (Style.panel_width)"


def _require_size(size: tuple[int, int], advice: str, kind: str = "") -> None:
    """See that a picture (width, height) is none that its kind of file cannot hold, or nobody could open.

    Raises:
        UsageError: it is, with what to do.
    """
    width, height = size
    if max(size) > MOST_A_SIDE.get(kind, max(size)):
        limit, or_else = f"a {kind} has at most {MOST_A_SIDE[kind]:,} a side", ", or write another kind of file"
    elif width * height > MOST_PIXELS:
        limit, or_else = f"{MOST_PIXELS:,} in all are the most that is drawn", ""
    else:
        return
    raise UsageError(f"the picture would have {width:,} x {height:,} pixels: {limit}. {advice}{or_else}.")


def _blank(size: tuple[int, int], advice: str) -> Image.Image:
    _require_size(size, advice)
    return Image.new("RGB", size, PAPER)


def strip(subject: Scene, chosen: Sequence[int], width: int, gap: int) -> Image.Image:
    """Some frames side by side with their masks, and nothing written.

    Args:
        chosen: their numbers.
        width: of each, in pixels; its height follows from the shape of the video.
        gap: pixels between two.
    """
    style = Style(outline=1, panel_width=width)
    tiles = [_tile(_at_hand(subject, chosen), index, style) for index in chosen]
    picture = Image.new("RGB", (sum(tile.width + gap for tile in tiles) - gap, tiles[0].height), PAPER)
    for place, tile in enumerate(tiles):
        picture.paste(tile, (place * (tile.width + gap), 0))
    return picture


def _at_hand(subject: Scene, chosen: Sequence[int]) -> Scene:
    """The same scene; of the frames that are chosen, those on a server have come, all at once."""
    wanted = {index: frame for index in chosen if (frame := subject.frames[index]) is not None}
    come = dict(zip(wanted, at_hand(list(wanted.values())), strict=True))
    return replace(subject, frames=tuple(come.get(index, frame) for index, frame in enumerate(subject.frames)))


def save_animation(
    subject: Scene,
    path: str | os.PathLike[str],
    *,
    fps: float = 6,
    style: Style | None = None,
    progress: Callable[[int], object] = lambda count: None,
) -> None:
    """Every frame with its masks, as an animated GIF or an MP4 (H.264) by the file's ending.

    One frame after the other is drawn and written: memory does not follow the length of the video.

    Raises:
        UsageError: another ending, frames larger than such a file can have, or an MP4 without PyAV installed.
    """
    path, style = Path(path), style or Style()
    kind = path.suffix.lower()
    writers = {".gif": _write_gif, ".mp4": _write_mp4}
    if kind not in writers:
        raise UsageError(f"{path.name}: an animation is a .gif or an .mp4")
    if not 0.1 <= fps <= 120:
        raise UsageError(f"fps is {fps}: expected 0.1 to 120 frames a second")

    def pictures() -> Iterator[Image.Image]:
        for index in range(len(subject.video.frame_names)):
            yield _animation_frame(subject, index, style)
            progress(1)

    panel_width, panel_height = style.panel_size(subject.video)
    width = _tile_width(subject, panel_width)
    lines = len(_wrapped(subject.heading, _font(15), width - 16))
    _require_size((width, _above(lines) + panel_height + BELOW), _SMALLER_PANELS, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        writers[kind](part, pictures(), fps)


def _write_gif(path: Path, pictures: Iterator[Image.Image], fps: float) -> None:
    if fps > GIF_MOST_FPS:
        raise UsageError(f"fps is {fps}: a .gif shows at most {GIF_MOST_FPS} frames a second, an .mp4 up to 120")
    each: dict[str, Any] = {"duration": 10 * round(100 / fps), "disposal": 1}
    with path.open("wb") as file:
        for number, picture in enumerate(pictures):  # `Image.save` would keep all of them before it writes any
            indexed = picture.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
            if number == 0:
                header, _ = GifImagePlugin.getheader(indexed, info={"loop": 0, **each})
                file.writelines(header)
            file.writelines(GifImagePlugin.getdata(indexed, include_color_table=True, **each))
        file.write(b";")


def _write_mp4(path: Path, pictures: Iterator[Image.Image], fps: float) -> None:
    try:
        import av
    except ImportError:
        raise UsageError(
            "an MP4 needs PyAV: pip install 'revos-dataset[video]'. Or write a .gif, which needs nothing more."
        ) from None
    from fractions import Fraction

    with av.open(str(path), "w", "mp4", options={"movflags": "faststart"}) as file:
        first = next(pictures)
        stream = file.add_stream("libx264", Fraction(fps).limit_denominator(1000), options={"crf": "20"})
        # H.264 as players read it halves the colour's resolution, so both sides must be even.
        stream.width, stream.height = first.width + first.width % 2, first.height + first.height % 2
        stream.pix_fmt = "yuv420p"
        for picture in itertools.chain([first], pictures):
            even = Image.new("RGB", (stream.width, stream.height), PAPER)
            even.paste(picture)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(even), "rgb24")))
        file.mux(stream.encode())


def _fitting(style: Style, video: Video, panels: int) -> Style:
    """Smaller panels the more of them there are, so that a sheet stays a size that screens show."""
    width = min(video.width, max(160, min(480, round(480 * (12 / max(panels, 1)) ** 0.5))))
    if video.height > video.width:
        width = max(120, round(width * video.width / video.height))
    width = min(width, max(1, int((MOST_PIXELS / 2 / max(panels, 1) * video.width / video.height) ** 0.5)))
    return Style(style.opacity, style.outline, min(width, video.width))


def _columns(tiles: int, width: int, height: int) -> int:
    """As many as make a page about twice as wide as it is high, with few places left empty in its last row."""

    def awkwardness(columns: int) -> float:
        rows = -(-tiles // columns)
        return abs(math.log(columns * width / (rows * height) / 2)) + (columns * rows - tiles) / tiles * 3

    return min(range(1, tiles + 1), key=awkwardness)


def _panel(subject: Scene, panel: Panel, index: int, style: Style) -> Image.Image:
    """One frame with a panel's masks; masks are scaled with the frame, so that outlines keep their width."""
    size = style.panel_size(subject.video)
    frame = subject.frames[index]
    if frame is None:
        picture = Image.new("RGB", size, ABSENT)
    else:
        tell_of_size(subject.video, frame.size())
        picture = frame.image(size).resize(size, Image.Resampling.LANCZOS)
    masks = [_scaled(layer.masks[index : index + 1].decode()[0], size) for layer in panel.layers]
    colors = [layer.color for layer in panel.layers] or PALETTE
    picture = overlay(picture, masks, colors=colors, opacity=style.opacity, outline=style.outline)
    if frame is None:
        ImageDraw.Draw(picture).text((8, 6), "frame not on disk", FAINT, font=_font(12))
    return picture


def tell_of_size(video: Video, size: tuple[int, int]) -> None:
    """Warn of frames of another size, height and width, than their video's: Python shows one of each text."""
    height, width = size
    if (height, width) != (video.height, video.width):
        warnings.warn(
            f"video {video.video_id!r}: its frames are {height}x{width} pixels (height x width), the annotations say "
            f"{video.height}x{video.width}: masks are scaled with the frames",
            stacklevel=2,
        )


def _scaled(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if mask.shape == size[::-1]:
        return mask
    return np.asarray(Image.fromarray(mask * np.uint8(255)).resize(size, Image.Resampling.BOX)) > 127


def _tile(subject: Scene, index: int, style: Style) -> Image.Image:
    """All panels of one frame, side by side."""
    width, height = style.panel_size(subject.video)
    tile = Image.new("RGB", (_tile_width(subject, width), height), PAPER)
    for number, panel in enumerate(subject.panels):
        tile.paste(_panel(subject, panel, index, style), (number * (width + BETWEEN), 0))
    return tile


def _animation_frame(subject: Scene, index: int, style: Style) -> Image.Image:
    tile = _tile(subject, index, style)
    name = subject.video.frame_names[index]
    heading = _wrapped(subject.heading, _font(15), tile.width - 16)
    above = _above(len(heading))
    picture = Image.new("RGB", (tile.width, above + tile.height + BELOW), PAPER)
    picture.paste(tile, (0, above))
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(heading):
        draw.text((8, 6 + 20 * number), line, INK, font=_font(15))
    if len(subject.panels) == 1:
        place = f"{name}  ({index + 1} of {subject.frame_count})  {subject.caption}"
        draw.text((8, above + tile.height + 4), _fit(place, _font(12), tile.width - 16), FAINT, font=_font(12))
        return picture
    width, _ = style.panel_size(subject.video)
    for number, panel in enumerate(subject.panels):  # the first panel's place says where in the video this is
        place = f"{panel.title}  {name} ({index + 1} of {subject.frame_count})" if number == 0 else panel.title
        left = number * (width + BETWEEN)
        draw.text((left + 8, above + tile.height + 4), _fit(place, _font(12), width - 16), FAINT, font=_font(12))
    return picture


def _above(lines: int) -> int:
    """Pixels over the frames of an animation, for so many lines of the expression."""
    return ABOVE + 20 * (max(lines, 1) - 1)


def _header(subject: Scene, width: int) -> Image.Image:
    """The top of a sheet: the expression in full, what it is, and the colour of each object."""
    heading, body = _font(20, bold=True), _font(14)
    lines = _wrapped(subject.heading, heading, width - 2 * MARGIN)
    about = _wrapped(subject.caption, body, width - 2 * MARGIN)
    legend = _legend_places(subject, body, width)
    legend_top = MARGIN + 27 * len(lines) + 4 + 20 * len(about) + 8
    legend_rows = max((y for _, _, y in legend), default=-1) + 1
    size = width, legend_top + 22 * legend_rows + 10
    picture = _blank(size, "Its text or legend is too long: name another expression")
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((MARGIN, MARGIN - 4 + 27 * number), line, INK, font=heading)
    for number, line in enumerate(about):
        draw.text((MARGIN, MARGIN + 27 * len(lines) + 4 + 20 * number), line, FAINT, font=body)
    for layer, x, y in legend:
        top = legend_top + 22 * y
        draw.rounded_rectangle((x, top + 2, x + 12, top + 14), 3, fill=layer.color)
        draw.text((x + 19, top), _fit(layer.name, body, width - 2 * MARGIN - 19), INK, font=body)
    return picture


def _legend_places(subject: Scene, font: Font, width: int) -> list[tuple[Layer, int, int]]:
    """Each layer with its left edge and its row, wrapping at the page's width."""
    places, x, row = [], MARGIN, 0
    for layer in (layer for panel in subject.panels for layer in panel.layers):
        needed = 19 + round(font.getlength(layer.name)) + 22
        if x > MARGIN and x + needed > width - MARGIN:
            x, row = MARGIN, row + 1
        places.append((layer, x, row))
        x += needed
    return places


@lru_cache
def _font(size: int, bold: bool = False) -> Font:
    """A font with many scripts where the system has one, or else the one that Pillow brings."""
    for name in FONTS_BOLD if bold else FONTS:
        with suppress(OSError):
            return ImageFont.truetype(name, size)
    return ImageFont.load_default(size)


def _fit(text: str, font: Font, width: int) -> str:
    """The text on one line, cut with an ellipsis where it is wider than `width` pixels.

    Line ends and what no encoding has are drawn as escapes: fonts refuse them.
    """
    text = printable(text).replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    if len(text) <= width and font.getlength(text) <= width:  # no glyph is narrower than a pixel
        return text
    text = text[:width]
    kept = bisect_right(range(len(text)), float(width), key=lambda length: font.getlength(text[:length] + "…")) - 1
    return text[: max(kept, 0)].rstrip() + "…"


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    """Lines of at most `width` pixels; a word that is wider stands alone and is cut."""
    lines: list[str] = []
    for word in printable(text).split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(_fit(word, font, width))
    return lines

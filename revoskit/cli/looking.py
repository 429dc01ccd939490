"""Masks on frames, for people to look at: `show`, `gallery`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from revoskit.cli import options
from revoskit.cli.options import Command, Parser
from revoskit.dataset.layout import FRAMES_ARCHIVE, SHA256, Layout
from revoskit.errors import UsageError


def _show_options(parser: Parser) -> None:
    parser.add_argument("video", metavar="VIDEO", help="a video id, such as LV-VIS/train/01020")
    parser.add_argument(
        "expression", metavar="EXPRESSION", nargs="?", help="its id within the video (default: all tracks)"
    )
    options.add_root(parser)
    options.add_alignment(parser)
    options.add_faults(parser)
    options.add_family(parser)
    parser.add_argument(
        "--source",
        metavar="SOURCE",
        help="a server (hf://datasets/…, https://…): what is not here of the annotations is downloaded, and of the "
        "archive of frames no more than is shown (default ROOT: the cache)",
    )
    parser.add_argument(
        "--predictions",
        metavar="P",
        action="append",
        default=[],
        help="a method's masks, to stand beside the ground truth with their J&F; give it again for another method",
    )
    options.add_names(parser)
    parser.add_argument("--frames", type=int, default=6, metavar="N", help="how many on a contact sheet (default: 6)")
    parser.add_argument("--fps", type=float, default=6, help="frames a second of a GIF or MP4 (default: 6)")
    parser.add_argument("--opacity", type=float, default=0.45, help="of the tint, 0 to 1 (default: 0.45)")
    parser.add_argument("--outline", type=int, default=2, metavar="PIXELS", help="0 for none (default: 2)")
    parser.add_argument(
        "-o", "--output", type=options.path, metavar="FILE", help=".png, .jpg, .gif or .mp4 (default: a .png here)"
    )


def _show(args: argparse.Namespace) -> int:
    from revoskit.looking import pictures

    if args.root is None and args.expression and Path(args.expression).is_dir():
        args.root, args.expression = args.expression, None  # VIDEO ROOT: an expression's id is no folder
    style = pictures.Style(args.opacity, args.outline)
    layout = _far_layout(args) if args.source else options.layout_of(args)
    subject = pictures.find_scene(layout, args.video, args.expression, args.predictions, args.names)
    name = "_".join(filter(None, (args.video.replace("/", "_"), args.expression)))
    output = args.output or Path(f"{name}.png")
    with tqdm(total=subject.frame_count, unit="frame", desc="drawing", disable=None, leave=False) as bar:
        pictures.save(subject, output, frames=args.frames, fps=args.fps, style=style, progress=bar.update)
    if subject.missing_frames:
        print(f"{len(subject.missing_frames)} of {subject.frame_count} frames are not on disk", file=sys.stderr)
    if subject.hidden_split:
        print(f"{subject.hidden_split} keeps its masks back: the frames are shown without any", file=sys.stderr)
    if output.suffix.lower() == ".gif" and subject.frame_count > pictures.LONG_GIF:
        much = f"{subject.frame_count:,} frames make a .gif of {output.stat().st_size / 1e6:,.0f} MB"
        print(f"{much}: an .mp4 takes a fraction of that (-o {output.with_suffix('.mp4')})", file=sys.stderr)
    print(output)
    return 0


def _far_layout(args: argparse.Namespace) -> Layout:
    """The annotations here, downloaded where they are missing, and the frames in an archive on a server."""
    import datasets

    from revoskit.getting.download import folder_in_cache, obtain
    from revoskit.getting.sources import remote_archive

    args.root = args.root or args.data_dir or folder_in_cache(datasets.config.HF_DATASETS_CACHE)
    args.data_dir = None
    layout = replace(options.layout_of(args), far_archive=remote_archive(args.source))
    expected = {name: digest for name, digest in SHA256.items() if name != FRAMES_ARCHIVE}
    obtain(layout, args.source, expected=expected)
    return layout


SHOW = Command("show", "draw masks on frames: a contact sheet, a GIF or an MP4", _show_options, _show)


def _add_max_side(parser: Parser) -> None:
    """--max-side of a page."""
    parser.add_argument(
        "--max-side", type=int, metavar="PIXELS", help="copy the frames, no larger than this (default: link them)"
    )


def _gallery_options(parser: Parser) -> None:
    options.add_root(parser)
    options.add_alignment(parser)
    options.add_faults(parser)
    options.add_family(parser)
    options.add_split_of_family(parser, "validation")
    parser.add_argument(
        "--predictions",
        metavar="P",
        action="append",
        default=[],
        help="a method's masks, as `evaluate` takes them; once more for a second method beside it",
    )
    parser.add_argument(
        "--scores",
        metavar="DIR",
        action="append",
        default=[],
        help="what `revoskit evaluate` wrote for them; as often as --predictions, in the same order",
    )
    options.add_names(parser)
    _add_max_side(parser)
    options.add_num_proc(parser)
    parser.add_argument("-o", "--output", type=options.path, required=True, metavar="FOLDER")


def _gallery(args: argparse.Namespace) -> int:
    from revoskit.dataset.annotations import open_annotations
    from revoskit.looking.gallery import write_gallery

    for option, given in [("--predictions", args.predictions), ("--scores", args.scores)]:
        if len(given) > 2:
            raise UsageError(
                f"{option} is given {len(given)} times: a page shows one set of predictions or two, and "
                "`revoskit compare` takes any number"
            )
    predictions, against = [*args.predictions, None, None][:2]
    scores, against_scores = [*args.scores, None, None][:2]
    layout = options.layout_of(args)
    with tqdm(total=len(open_annotations(layout, args.split).videos), unit="video", disable=None) as bar:
        written = write_gallery(
            layout,
            args.split,
            args.output,
            predictions=predictions,
            scores=scores,
            against=against,
            against_scores=against_scores,
            names=args.names,
            max_side=args.max_side,
            num_proc=args.num_proc,
            progress=bar.update,
        )
    if written.missing_frames:
        print(f"{written.missing_frames:,} frames are not on disk; their masks show without them", file=sys.stderr)
    if written.unsized:
        print(
            f"{written.unsized:,} videos are left out: no frame of them is on disk to tell their size", file=sys.stderr
        )
    if written.hidden:
        print(f"{args.split} keeps its masks back: the frames are shown without any", file=sys.stderr)
    print(f"{written.videos:,} videos, {written.expressions:,} expressions: {written.page}")
    return 0


GALLERY = Command(
    "gallery", "write a page to look through a split, its masks and its failures", _gallery_options, _gallery
)


def _review_options(parser: Parser) -> None:
    options.add_root(parser)
    parser.add_argument(
        "--alignment",
        dest="report",  # elsewhere, `alignment` is the file of an accepted one
        type=options.path,
        required=True,
        metavar="REPORT",
        help="what `revoskit check ROOT --alignment --json` printed",
    )
    _add_max_side(parser)
    parser.add_argument("-o", "--output", type=options.path, required=True, metavar="FOLDER")


def _review(args: argparse.Namespace) -> int:
    from revoskit.looking.review import write_review

    with tqdm(unit="video", disable=None) as bar:
        written = write_review(
            options.layout_of(args), args.report, args.output, max_side=args.max_side, progress=bar.update
        )
    if written.missing_frames:
        print(f"{written.missing_frames:,} frames are not on disk; their masks show without them", file=sys.stderr)
    if written.not_shown:
        print(f"{written.not_shown:,} videos are not in this copy as the report says: see the page", file=sys.stderr)
    print(f"{written.videos:,} videos to decide on, {written.acceptable:,} with a mapping: {written.page}")
    return 0


REVIEW = Command("review", "write a page to accept or refuse what `check --alignment` found", _review_options, _review)

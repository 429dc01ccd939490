"""The official files: `verify`, `download`, `unpack`."""

from __future__ import annotations

import argparse

from tqdm import tqdm

from revoskit.cli import options
from revoskit.cli.options import Command, Parser


def _verify_options(parser: Parser) -> None:
    options.add_root(parser)
    options.add_json(parser)


def _verify(args: argparse.Namespace) -> int:
    from revoskit.getting import checksums

    layout = options.layout_of(args)
    with tqdm(total=checksums.bytes_to_read(layout), unit="B", unit_scale=True, desc="reading", disable=None) as bar:
        found = checksums.verify(layout, progress=bar.update)
    if args.json:
        options.print_json(found)
    else:
        print(checksums.table(found))
    return 0 if found.all_official else 1


VERIFY = Command(
    "verify", "compare the files with the official SHA-256, count the frames that are here", _verify_options, _verify
)


def _download_options(parser: Parser) -> None:
    options.add_root(parser)
    parser.add_argument(
        "--from", dest="source", metavar="SOURCE", help="hf://datasets/<owner>/<repo>[/folder][@revision], https://… "
        "or a folder; without it, what to do by hand is printed",
    )  # fmt: skip
    options.add_json(parser)


def _download(args: argparse.Namespace) -> int:
    from revoskit.getting import download

    layout = options.layout_of(args)
    if not args.source:
        missing = download.missing(layout)
        if args.json:
            options.print_json({"missing": missing})
        else:
            print(download.by_hand(layout, missing))
        return 2 if missing else 0
    arrivals = download.download(layout, args.source)
    if args.json:
        options.print_json(arrivals)
    else:
        print(download.table(arrivals))
    return 0 if download.complete(arrivals) else 1


DOWNLOAD = Command("download", "fetch the official files that are missing", _download_options, _download)


def _unpack_options(parser: Parser) -> None:
    options.add_root(parser)
    parser.add_argument("--delete", action="store_true", help="remove the archive once all of it is unpacked and sound")
    options.add_num_proc(parser)
    options.add_json(parser)


def _unpack(args: argparse.Namespace) -> int:
    from revoskit.getting import unpack

    done = unpack.unpack(options.layout_of(args), delete=args.delete, num_proc=args.num_proc)
    if args.json:
        options.print_json(done)
    else:
        print(unpack.describe(done))
    return 1 if done.damaged else 0


UNPACK = Command("unpack", "unpack the archive of frames into JPEGImages/<video_id>/", _unpack_options, _unpack)

"""From a model to its predictions, and from one form of these to another: `predict` and `convert`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from tqdm import tqdm

from revoskit.cli import options
from revoskit.cli.options import Command, Parser

TERMINATED = 143  # what shells report of a process that SIGTERM has ended


def _predict_options(parser: Parser) -> None:
    parser.add_argument(
        "adapter",
        metavar="ADAPTER",
        help="file.py:name or package.module:name of a function predict(frames, text, row), or of a class that is made "
        "once a process and called so",
    )
    options.add_root(parser)
    options.add_family(parser)
    options.add_split_of_family(parser, "validation")
    options.add_faults(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=options.path,
        required=True,
        metavar="OUT",
        help="a folder, continued where it exists",
    )
    parser.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="for the class, JSON or text; any number of them",
    )
    division = parser.add_mutually_exclusive_group()
    division.add_argument("--num-proc", type=int, default=1, metavar="N", help="processes, a model each (default: 1)")
    division.add_argument(
        "--shard",
        metavar="I/N",
        help="do this part only, 0/N to N-1/N (default: what torchrun, accelerate or Slurm say in the environment)",
    )
    options.add_engine(parser)
    parser.add_argument("--resize", action="store_true", help="take masks of another size than the video's")
    parser.add_argument("--retry-errors", action="store_true", help="try again what has failed before")
    parser.add_argument(
        "--keep-going", action="store_true", help="go on where the model has failed on all of the first ten expressions"
    )
    options.add_json(parser)


def _predict(args: argparse.Namespace) -> int:
    from revoskit.inference.adapter import parse_argument
    from revoskit.inference.division import parse_shard
    from revoskit.inference.predict import Progress, predict

    layout = options.layout_of(args)
    shard = parse_shard(args.shard) if args.shard else None
    # What a model prints must not stand among what machines read.
    printed = contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext()
    with printed, tqdm(unit="frame", desc="predicting", disable=None) as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.frames
            if progress.failed:
                bar.set_postfix(failed=progress.failed, refresh=False)
            if not bar.n:
                bar.initial = progress.frames_done  # which took no time now
            bar.update(progress.frames_done - bar.n)

        report = predict(
            args.adapter,
            layout.root,
            output=args.output,
            split=args.split,
            family=args.family,
            faults=args.faults,
            arguments=dict(map(parse_argument, args.arg)),
            shard=None if shard is None else (shard.index, shard.count),
            num_proc=args.num_proc,
            engine=args.engine,
            address=args.address,
            resize=args.resize,
            retry_errors=args.retry_errors,
            keep_going=args.keep_going,
            progress=show,
        )
    if args.json:
        options.print_json(report.as_dict())
    else:
        print(report.describe())
    if report.stopped:
        return TERMINATED
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun stops all processes when one fails: the last one tells for all
        return 1 if report.split.failed and not report.split.left else 0
    return 1 if report.mine.failed or report.mine.left else 0


PREDICT = Command(
    "predict",
    "run a model over a split, so that a killed run goes on where it was",
    _predict_options,
    _predict,
    "exit status: 0 all is predicted, 1 the model failed on some expressions, 2 it could not begin, or "
    "nothing but failures made it stop, 143 SIGTERM came before it was done",
)


def _convert_options(parser: Parser) -> None:
    parser.add_argument("predictions", metavar="PREDICTIONS", help="in any form, as `evaluate` takes them")
    options.add_root(parser)
    options.add_family(parser)
    options.add_split_of_family(parser, "validation")
    options.add_faults(parser)
    parser.add_argument("--to", choices=["png", "json", "parquet", "lines"], required=True, help="which form")
    parser.add_argument(
        "-o", "--output", type=options.path, required=True, metavar="OUT", help="a folder; a file for json and parquet"
    )
    options.add_num_proc(parser)


def _convert(args: argparse.Namespace) -> int:
    from revoskit.scoring.convert import convert

    layout = options.layout_of(args)
    with tqdm(unit="video", desc="converting", disable=None) as bar:

        def show(done: int, videos: int) -> None:
            bar.total = videos
            bar.update(done - bar.n)

        done = convert(
            args.predictions,
            layout.root,
            output=args.output,
            to=args.to,
            split=args.split,
            family=args.family,
            faults=args.faults,
            num_proc=args.num_proc,
            progress=show,
        )
    print(done.describe())
    return 1 if done.left_out else 0


CONVERT = Command("convert", "write predictions in another form, with the same masks", _convert_options, _convert)


def _lmms_eval(args: argparse.Namespace) -> int:
    from revoskit import lmms_eval

    print(lmms_eval.FOLDER)
    return 0


LMMS_EVAL = Command(
    "lmms-eval",
    'print where the tasks of lmms-eval are: lmms-eval --include_path "$(revoskit lmms-eval)" --tasks revos',
    lambda parser: None,
    _lmms_eval,
)

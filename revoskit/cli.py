"""The `revoskit` command: each subcommand a few lines over one function of a room.

Exit status: 0 all is well, 1 the command ran and found something wrong, 2 it could not do what was asked,
130 it was interrupted. What people read goes to the terminal; `--json` gives the same to machines.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
from tqdm import tqdm

from revoskit.errors import RevosError
from revoskit.layout import EXPRESSIONS, ROOT_VARIABLE, Layout


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    parser = argparse.ArgumentParser(prog="revoskit", description="ReVOS: load, check, train on, score, look at.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_demo, _add_stats, _add_info, _add_evaluate):
        add(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        status = args.run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except RevosError as error:
        print(f"revoskit {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nrevoskit {args.command}: interrupted", file=sys.stderr)
        return 130


def _command(commands: Any, name: str, run: Any, summary: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run)
    return parser


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", metavar="ROOT", help=f"the folder of mask_dict.json and JPEGImages/ (default: ${ROOT_VARIABLE})"
    )


def _add_split(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument("--split", choices=list(EXPRESSIONS), default=default, help=f"default: {default or 'all'}")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")


def _print_json(value: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", _demo, "make a miniature of the dataset, load it, and show what is in it")
    parser.add_argument("-o", "--output", type=Path, default=Path("revos-demo"), metavar="FOLDER")


def _demo(args: argparse.Namespace) -> int:
    from datasets import load_dataset

    import revos
    from revoskit import demo

    layout = demo.prepare(args.output)
    cache = str(args.output / ".cache")
    print(f'>>> load_dataset("{revos.NAME}", data_dir="{args.output}")')
    expressions = load_dataset(revos.NAME, data_dir=str(layout.root), cache_dir=cache)
    videos = load_dataset(revos.NAME, "videos", data_dir=str(layout.root), cache_dir=cache)
    picture = args.output / "overlay.png"
    demo.save_picture(expressions["validation"][0], picture)
    print(f"\n{demo.describe(expressions, videos)}\n\nIts masks on its frames: {picture}")
    return 0


def _add_stats(commands: Any) -> None:
    parser = _command(commands, "stats", _stats, "count videos, expressions, tracks, frames and masks")
    _add_data_dir(parser)
    _add_split(parser, None)
    _add_json(parser)


def _stats(args: argparse.Namespace) -> int:
    from revoskit import stats
    from revoskit.annotations import open_annotations

    layout = Layout.at(args.data_dir)
    layout.require()
    splits = [args.split] if args.split else layout.splits()
    videos = sum(len(open_annotations(layout, split).videos) for split in splits)
    with tqdm(total=videos, unit="video", desc="counting", disable=None) as bar:
        counts = stats.count(layout, splits, bar.update)
    if args.json:
        _print_json(counts)
    else:
        print(stats.table(counts))
    return 0


def _add_info(commands: Any) -> None:
    parser = _command(commands, "info", _info, "describe the dataset's configs, as in dataset_infos/")
    parser.add_argument("--write", type=Path, metavar="FOLDER", nargs="?", const=Path("dataset_infos"))


def _info(args: argparse.Namespace) -> int:
    import revos
    from revoskit import info

    declared = {config: revos.Revos(config_name=config).info for config in revos.Revos.builder_configs}
    if args.write:
        for config in declared.values():
            print(info.write(config, args.write))
    else:
        _print_json({name: info.describe(config) for name, config in declared.items()})
    return 0


def _add_evaluate(commands: Any) -> None:
    parser = _command(commands, "evaluate", _evaluate, "score predictions: J, F, J&F, A and R as people publish them")
    parser.add_argument(
        "predictions",
        metavar="PREDICTIONS",
        help="a folder <video_id>/<expression_id>/<frame>.png, a .json of RLEs, or a Parquet table",
    )
    _add_data_dir(parser)
    _add_split(parser, "validation")
    parser.add_argument(
        "--protocol",
        choices=["binary", "official", "both"],
        default="binary",
        help="binary: what is meant; official: what the published evaluator computes (default: binary)",
    )
    parser.add_argument("--num-proc", type=int, default=1, metavar="N", help="videos at a time (default: 1)")
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help="where to work (default: local)")
    parser.add_argument("--address", help="of a running Ray cluster (default: start Ray on this machine)")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="write scores.json and scores.csv there")
    parser.add_argument("--resume", action="store_true", help="go on with the run that DIR holds the videos of")
    parser.add_argument("--against-published", action="store_true", help="show the row among the published ones")
    _add_json(parser)


def _evaluate(args: argparse.Namespace) -> int:
    from revoskit.evaluation import evaluate

    with tqdm(unit="video", desc="scoring", disable=None) as bar:

        def show(done: int, videos: int) -> None:
            bar.total = videos
            bar.update(done - bar.n)

        result = evaluate(
            args.predictions,
            args.data_dir,
            split=args.split,
            protocol=args.protocol,
            num_proc=args.num_proc,
            engine=args.engine,
            address=args.address,
            output=args.output,
            resume=args.resume,
            progress=show,
        )
    if args.json:
        print(result.to_json())
    else:
        print(result.table())
        if args.against_published:
            print(f"\n{result.against_published(Path(args.predictions).name)}")
        if args.output:
            print(f"\nwritten: {args.output / 'scores.json'}, {args.output / 'scores.csv'}")
    if result.missing:
        print(f"\n{result.summary()}", file=sys.stderr)
    return 1 if result.missing else 0


if __name__ == "__main__":
    sys.exit(main())

"""The `revoskit` command: each subcommand a few lines over one function of a room.

Exit status: 0 all is well, 1 the command ran and found something wrong, 2 it could not do what was asked,
130 it was interrupted. What people read goes to the terminal; `--json` gives the same to machines.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
from tqdm import tqdm

from revoskit.errors import RevosError, UsageError
from revoskit.layout import EXPRESSIONS, ROOT_VARIABLE, Layout


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="revoskit", description="ReVOS: load, check, train on, score, look at.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_demo, _add_stats, _add_info, _add_publish):
        add(commands)
    args = parser.parse_args(argv)
    try:
        return args.run(args)
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

    for config in revos.Revos.builder_configs:
        declared = revos.Revos(config_name=config, data_dir=None).info
        if args.write:
            print(info.write(declared, args.write))
        else:
            sys.stdout.write(info.as_json(info.describe(declared)))
    return 0


def _add_publish(commands: Any) -> None:
    parser = _command(commands, "publish", _publish, "write the dataset as Parquet with a card; upload it to the Hub")
    _add_data_dir(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="continued where it exists")
    parser.add_argument(
        "--frames",
        choices=["embed", "none"],
        help="put the JPEGs into `videos`, or leave them out (default: embed; none with --push)",
    )
    parser.add_argument("--configs", default="videos,expressions", help="default: videos,expressions")
    parser.add_argument("--shard-size", default="500MB", metavar="SIZE", help="of a file, at most (default: 500MB)")
    parser.add_argument("--max-side", type=int, metavar="N", help="make larger videos smaller: at most N pixels a side")
    parser.add_argument("--num-proc", type=int, default=1, metavar="N", help="shards written at a time (default: 1)")
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help="this machine, or a Ray cluster")
    parser.add_argument("--address", help="of the Ray cluster (default: one started here)")
    parser.add_argument("--push", metavar="OWNER/NAME", help="upload to this dataset of the Hugging Face Hub")
    parser.add_argument("--private", action="store_true", help="with --push: nobody else may see it")
    parser.add_argument("--yes", action="store_true", help="with --push: upload without asking")
    _add_json(parser)


def _publish(args: argparse.Namespace) -> int:
    import revos
    from revoskit import publish, push
    from revoskit.shards import Content

    target = push.Target(args.push, args.private) if args.push else None
    if args.private and not target:
        raise UsageError("--private is about --push OWNER/NAME")
    if target:
        if not args.yes and not sys.stdin.isatty():
            raise UsageError("an upload has to be agreed to, and there is no terminal to ask at: say --yes")
        push.check_access(target)
    content = Content(args.frames or ("none" if target else "embed"), args.max_side)
    layout = Layout.at(args.data_dir)
    shard_bytes = publish.parse_size(args.shard_size)
    plan = publish.make_plan(layout, content=content, configs=args.configs.split(","), shard_bytes=shard_bytes)
    with tqdm(total=plan.num_bytes, unit="B", unit_scale=True, desc="writing", disable=None) as bar:
        written = publish.publish(
            layout,
            args.output,
            plan,
            revos.Revos(data_dir=None).info,
            repository=args.push,
            num_proc=args.num_proc,
            engine=args.engine,
            address=args.address,
            progress=bar.update,
        )
    print(publish.describe(args.output, written), file=sys.stderr if args.json else sys.stdout)
    url = None
    if target:
        print(f"\n{push.describe(args.output, target, content)}", file=sys.stderr)
        if args.yes or _confirmed("Upload this?"):
            url = push.upload(args.output, target)
            print(f"Uploaded: {url}", file=sys.stderr if args.json else sys.stdout)
        else:
            print(f"Not uploaded. {args.output} is whole: the same command asks again.", file=sys.stderr)
    if args.json:
        _print_json(
            {
                "folder": str(args.output),
                "url": url,
                "shards": [
                    {"path": one.shard.path, "rows": one.shard.rows, "bytes": one.file_bytes} for one in written
                ],
            }
        )
    return 0


def _confirmed(question: str) -> bool:
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


if __name__ == "__main__":
    sys.exit(main())

"""The dataset as Parquet, here or on the Hub: `publish`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING

from tqdm import tqdm

from revoskit.cli import options
from revoskit.cli.options import Command, Parser
from revoskit.errors import UsageError

if TYPE_CHECKING:
    from revoskit.publishing import push
    from revoskit.publishing.publish import Plan


def _publish_options(parser: Parser) -> None:
    options.add_root(parser)
    options.add_alignment(parser)
    options.add_faults(parser)
    parser.add_argument(
        "-o", "--output", type=options.path, required=True, metavar="FOLDER", help="continued where it exists"
    )
    parser.add_argument(
        "--frames",
        choices=["embed", "none"],
        help="put the JPEGs into `videos`, or leave them out (default: embed; none with --push)",
    )
    parser.add_argument("--configs", default="videos,expressions", help="default: videos,expressions")
    parser.add_argument(
        "--preview",
        action="store_true",
        help="add a config of small pictures, one for each expression, which the Hub's viewer then opens first",
    )
    parser.add_argument("--shard-size", default="500MB", metavar="SIZE", help="of a file, at most (default: 500MB)")
    parser.add_argument("--max-side", type=int, metavar="N", help="make larger videos smaller: at most N pixels a side")
    options.add_num_proc(parser)
    options.add_engine(parser)
    parser.add_argument("--push", metavar="OWNER/NAME", help="upload to this dataset of the Hugging Face Hub")
    parser.add_argument("--private", action="store_true", help="with --push: nobody else may see it")
    parser.add_argument("--yes", action="store_true", help="with --push: upload without asking")
    parser.add_argument("--dry-run", action="store_true", help="say what would be written and go where, and do nothing")
    options.add_json(parser)


def _publish(args: argparse.Namespace) -> int:
    import revos
    from revoskit.publishing import publish, push
    from revoskit.publishing.preview import PREVIEW
    from revoskit.publishing.shards import Content

    target = None if args.push is None else push.Target(args.push, args.private)
    if args.private and not target:
        raise UsageError("--private goes with --push OWNER/NAME")
    if args.yes and not target:
        raise UsageError("--yes goes with --push OWNER/NAME")
    if target and args.dry_run:
        push.check_name(target)
    elif target:
        if not args.yes and not sys.stdin.isatty():
            raise UsageError("an upload needs your consent, and there is no terminal to ask at: give --yes")
        push.check_access(target)
    content = Content(args.frames or ("none" if target else "embed"), args.max_side)
    layout = options.layout_of(args)
    configs = [config.strip() for config in args.configs.split(",")] + [PREVIEW] * args.preview
    shard_bytes = publish.parse_size(args.shard_size)
    plan = publish.make_plan(layout, content=content, configs=configs, shard_bytes=shard_bytes)
    if args.dry_run:
        return _say_plan(args, plan, target)
    with (
        contextlib.redirect_stdout(sys.stderr),  # Ray reports there, and what is printed may be read by a machine
        tqdm(total=plan.num_bytes, unit="B", unit_scale=True, desc="writing", disable=None) as bar,
    ):
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
        upload = push.prepare(args.output, written, target, content)
        print(f"\n{push.describe(upload)}", file=sys.stderr)
        if args.yes or _confirmed("Upload this?"):
            url = push.send(upload, written)
            print(f"Uploaded: {url}", file=sys.stderr if args.json else sys.stdout)
        else:
            print(f"Not uploaded. {args.output} is whole: the same command asks again.", file=sys.stderr)
    if args.json:
        shards = [{"path": one.shard.path, "rows": one.shard.rows, "bytes": one.file_bytes} for one in written]
        options.print_json({"folder": str(args.output), "url": url, "shards": shards})
    return 0


def _say_plan(args: argparse.Namespace, plan: Plan, target: push.Target | None) -> int:
    from revoskit.publishing import publish, push

    if args.json:
        shards = [{"path": one.path, "rows": one.rows, "source_bytes": one.num_bytes} for one in plan.shards]
        options.print_json({"folder": str(args.output), "repository": args.push, "shards": shards})
    elif target:
        print(push.describe_plan(args.output, plan, target))
    else:
        print(publish.describe_plan(args.output, plan))
    return 0


def _confirmed(question: str) -> bool:
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


PUBLISH = Command(
    "publish", "write the dataset as Parquet with a card; upload it to the Hub", _publish_options, _publish
)

"""A training loop from the dataset to its score, small enough for a CPU: a tiny segmenter that is told what to find.

    python examples/train_minimal.py [--root FOLDER]

Without --root it writes the miniature and trains on that. It is meant to overfit: it is scored on the expressions that
it was trained on, which shows that frames, masks, texts and scores go together, and nothing about how good it is.
Ends with status 1 if J&F stays under --bound.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import zlib
from pathlib import Path

os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

import torch
from datasets import load_dataset
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

import revos
from revoskit import Clips, Evaluator, collate, write_miniature


class Segmenter(nn.Module):
    """A few convolutions over every frame, whose channels the text scales and shifts (FiLM). No pretraining."""

    def __init__(self, channels: int = 24, buckets: int = 512) -> None:
        super().__init__()
        self.buckets = buckets
        self.words = nn.EmbeddingBag(buckets, 64, mode="mean")
        self.film = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4 * channels))
        self.stem = nn.Conv2d(5, channels, 3, padding=1)
        self.down = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(channels, channels, 3, padding=2, dilation=2)
        self.wide = nn.Conv2d(channels, channels, 3, padding=4, dilation=4)
        self.head = nn.Conv2d(2 * channels, 1, 3, padding=1)

    def forward(self, frames: torch.Tensor, texts: list[str]) -> torch.Tensor:
        """Logits (B, T, H, W) for frames uint8 (B, T, 3, H, W) and a text for each clip."""
        clips, length, _, height, width = frames.shape
        y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        place = torch.stack([y, x]).expand(clips * length, 2, height, width)
        pixels = torch.cat([frames.flatten(0, 1).float() / 127.5 - 1, place], dim=1)
        scale, shift, scale2, shift2 = self._film(texts, length).chunk(4, dim=1)
        fine = F.relu(self.stem(pixels) * (1 + scale) + shift)
        coarse = F.relu(self.deep(F.relu(self.down(fine))) * (1 + scale2) + shift2)
        coarse = F.relu(self.wide(coarse))
        coarse = F.interpolate(coarse, (height, width), mode="bilinear")
        return self.head(torch.cat([fine, coarse], dim=1)).view(clips, length, height, width)

    def _film(self, texts: list[str], length: int) -> torch.Tensor:
        """What each text makes of the channels, (B·T, 4·channels, 1, 1); words are hashed, so none is unknown."""
        words = [[zlib.crc32(word.encode()) % self.buckets for word in text.lower().split()] or [0] for text in texts]
        offsets = torch.tensor([0, *map(len, words)]).cumsum(0)[:-1]
        found = self.words(torch.tensor([word for text in words for word in text]), offsets)
        return self.film(found).repeat_interleave(length, 0)[..., None, None]


def loss(logits: torch.Tensor, masks: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy and Dice; `counts` (B, T) leaves repeated and padded frames out."""
    masks, weights = masks.float(), counts[..., None, None].float()
    entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    likely = logits.sigmoid() * weights
    overlap = (likely * masks).sum((1, 2, 3))
    dice = 1 - (2 * overlap + 1) / (likely.sum((1, 2, 3)) + (masks * weights).sum((1, 2, 3)) + 1)
    return (entropy * weights).sum() / weights.expand_as(entropy).sum() + dice.mean()


def train(model: Segmenter, rows, size: int, epochs: int, workers: int) -> None:
    clips = Clips(2, "uniform", size=(size, size), output="torch")
    loader = DataLoader(
        rows.with_transform(clips),
        8,
        shuffle=True,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=epochs * len(loader))
    for epoch in range(epochs):
        clips.set_epoch(epoch)
        total = 0.0
        for batch in loader:
            batch_loss = loss(model(batch["frames"], batch["expression"]), batch["masks"], batch["valid"])
            optimizer.zero_grad()
            batch_loss.backward()
            optimizer.step()
            schedule.step()
            total += batch_loss.item()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {total / len(loader):.3f}", flush=True)


@torch.no_grad()
def score(model: Segmenter, rows, root: Path, size: int) -> Evaluator:
    """Predict every frame of every expression, at the size of the video."""
    evaluator = Evaluator(root, split="train")
    for clip in rows.with_transform(Clips(sampling="all", size=(size, size), training=False, output="torch")):
        logits = model(clip["frames"][None], [clip["expression"]])
        logits = F.interpolate(logits, tuple(clip["original_size"].tolist()), mode="bilinear")[0]
        evaluator.add(clip["video_id"], clip["expression_id"], (logits > 0).numpy())
    return evaluator


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a folder in the official layout; by default a new miniature")
    parser.add_argument("--size", type=int, default=64, help="frames are resized to this square")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--bound", type=float, default=75.0, help="J&F, in percent, that has to be reached")
    args = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        root = args.root or write_miniature(Path(folder) / "ReVOS").root
        rows = load_dataset(revos.NAME, data_dir=str(root), split="train", cache_dir=str(Path(folder) / "cache"))
        model, start = Segmenter(), time.perf_counter()
        train(model, rows, args.size, args.epochs, args.workers)
        print(f"trained on {len(rows)} expressions in {time.perf_counter() - start:.0f} s")
        result = score(model, rows, root, args.size).result()
    print(result.table())
    reached = result.rows["binary"]["overall"].measures["J&F"] or 0.0
    if reached < args.bound:
        print(f"J&F is {reached:.1f}, under {args.bound:.1f}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

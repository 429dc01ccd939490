"""A benchmark as it might be: expressions of one video are alike, for each method and for the difference of the two."""

from __future__ import annotations

import numpy as np

TRUE_DIFFERENCE = 0.7  # points, of referring, reasoning and overall
TRUE_MEAN = 56.0  # of the first method, overall


def simulate(seed: int, videos: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Scores (2 methods, expressions, 1 measure), the number of each expression's video, and the two types."""
    rng = np.random.default_rng(seed)
    video = np.repeat(np.arange(videos), rng.integers(2, 25, videos))
    reasoning = rng.random(len(video)) < 0.44
    common = 60 - 8 * reasoning + rng.normal(0, 18, videos)[video]
    difference = TRUE_DIFFERENCE + rng.normal(0, 6, videos)[video]
    scores = np.stack([common, common + difference]) + rng.normal(0, 15, (2, len(video)))
    return scores[:, :, None], video, {"referring": ~reasoning, "reasoning": reasoning}

"""revoskit.scoring.significance: intervals hold the truth as often as they say, and p values are what they say."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from simulated_benchmark import TRUE_DIFFERENCE, TRUE_MEAN, simulate

from revoskit.scoring.significance import VideoResampling


def made(videos: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    return simulate(seed, videos)


def literal_mean(scores: np.ndarray, groups: dict[str, np.ndarray]) -> float:
    return float(np.mean([scores[members].mean() for members in groups.values()]))


def test_means_and_differences_are_those_of_the_scores():
    scores, video, groups = made()
    found = VideoResampling(scores, video, groups, resamples=50)
    for method in (0, 1):
        for row, members in groups.items():
            assert found.mean(row, method, 0).value == pytest.approx(scores[method, members, 0].mean())
        assert found.mean("overall", method, 0).value == pytest.approx(literal_mean(scores[method, :, 0], groups))
    want = literal_mean(scores[1, :, 0], groups) - literal_mean(scores[0, :, 0], groups)
    assert found.difference("overall", 0, 1, 0).difference == pytest.approx(want)
    assert found.difference("overall", 1, 0, 0).difference == pytest.approx(-want)


def test_a_resample_draws_whole_videos_and_makes_every_mean_anew():
    scores, video, groups = made(30)
    found = VideoResampling(scores, video, groups, resamples=2000)
    rng = np.random.default_rng(99)  # other draws: the ends agree as far as chance lets them
    drawn = []
    for _ in range(2000):
        places = np.concatenate([np.flatnonzero(video == v) for v in rng.integers(0, 30, 30)])
        drawn.append(literal_mean(scores[0, places, 0], {k: members[places] for k, members in groups.items()}))
    interval = found.mean("overall", 0, 0)
    np.testing.assert_allclose([interval.low, interval.high], np.percentile(drawn, [2.5, 97.5]), atol=1.0)


def test_p_is_exact_where_there_are_few_videos():
    scores, video, groups = made(6)
    difference = scores[1, :, 0] - scores[0, :, 0]
    found = [
        abs(literal_mean(difference * np.array(signs)[video], groups)) for signs in itertools.product([1, -1], repeat=6)
    ]
    want = np.mean(np.array(found) >= found[0] - 1e-12)
    assert VideoResampling(scores, video, groups).difference("overall", 0, 1, 0).p == pytest.approx(want)


def test_p_of_many_videos_is_close_to_the_exact_one():
    scores, video, groups = made(12, 4)
    exact = VideoResampling(scores, video, groups, resamples=2**12).difference("overall", 0, 1, 0).p
    drawn = VideoResampling(scores, video, groups, resamples=2**12 - 1).difference("overall", 0, 1, 0).p
    assert drawn == pytest.approx(exact, abs=0.03)
    assert drawn != exact


def test_methods_that_agree_everywhere_do_not_differ():
    scores, video, groups = made(40)
    found = VideoResampling(scores[[0, 0]], video, groups, resamples=200).difference("overall", 0, 1, 0)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_one_that_is_better_on_every_video_is_significantly_better():
    scores, video, groups = made(40)
    better = np.stack([scores[0], scores[0] + 1])
    found = VideoResampling(better, video, groups, resamples=999).difference("reasoning", 0, 1, 0)
    assert (found.difference, found.low, found.high) == pytest.approx((1, 1, 1))
    assert found.p == 0.001


def test_a_group_without_expressions_has_no_numbers_and_neither_has_overall():
    scores, video, groups = made(5)
    nothing = {**groups, "reasoning": np.zeros(len(video), bool)}
    found = VideoResampling(scores, video, nothing, resamples=20)
    assert found.mean("referring", 0, 0).value is not None
    for row in ("reasoning", "overall"):
        assert set(vars_of(found.mean(row, 0, 0))) == set(vars_of(found.difference(row, 0, 1, 0))) == {None}


def vars_of(struct) -> list:
    return [getattr(struct, name) for name in struct.__struct_fields__]


def test_the_same_seed_gives_the_same_numbers():
    scores, video, groups = made(30)
    one, other, third = (VideoResampling(scores, video, groups, resamples=100, seed=s) for s in (3, 3, 4))
    assert one.difference("overall", 0, 1, 0) == other.difference("overall", 0, 1, 0)
    assert one.difference("overall", 0, 1, 0) != third.difference("overall", 0, 1, 0)


def test_the_documentation_explains_an_example_as_it_is_computed():
    page = (Path(__file__).parent.parent / "docs" / "comparing.md").read_text(encoding="utf-8")
    scores, video, groups = simulate(1, 60)
    found = VideoResampling(scores, video, groups)
    for method, name in enumerate("AB"):
        mean = found.mean("overall", method, 0)
        assert f"| {name} | {mean.value:.1f} [{mean.low:.1f}, {mean.high:.1f}] |" in page
    d = found.difference("overall", 0, 1, 0)
    assert f"| B − A | {d.difference:+.2f} [{d.low:+.2f}, {d.high:+.2f}], p {d.p:.3f} |" in page


def test_one_video_has_no_interval():
    scores, video, groups = made(1)
    found = VideoResampling(scores, video, groups, resamples=20)
    assert (found.mean("overall", 0, 0).low, found.difference("overall", 0, 1, 0).high) == (None, None)
    assert found.mean("overall", 0, 0).value is not None


def test_a_resample_draws_from_the_videos_that_are_there_and_no_other():
    scores = np.array([[[10.0], [90.0]], [[20.0], [60.0]]])
    found = VideoResampling(scores, np.array([0, 1]), {"referring": np.array([0, 1])}, resamples=2000)
    interval = found.mean("referring", 0, 0)  # of two videos: both, the first twice, the second twice
    assert (interval.low, interval.value, interval.high) == (10, 50, 90)


def test_intervals_hold_the_truth_in_95_percent_of_benchmarks_and_only_if_videos_are_resampled():
    held = {"difference": 0, "mean": 0, "by expression": 0}
    for seed in range(400):
        scores, video, groups = simulate(seed, 60)
        by_video = VideoResampling(scores, video, groups, resamples=250, seed=seed)
        mean, difference = by_video.mean("overall", 0, 0), by_video.difference("overall", 0, 1, 0)
        held["difference"] += difference.low <= TRUE_DIFFERENCE <= difference.high
        held["mean"] += mean.low <= TRUE_MEAN <= mean.high
        if seed < 100:
            by_expression = VideoResampling(scores, np.arange(len(video)), groups, resamples=100, seed=seed)
            wrong = by_expression.difference("overall", 0, 1, 0)
            held["by expression"] += wrong.low <= TRUE_DIFFERENCE <= wrong.high
    assert 0.93 <= held["difference"] / 400 <= 0.97
    assert 0.92 <= held["mean"] / 400 <= 0.97
    assert held["by expression"] / 100 < 0.9

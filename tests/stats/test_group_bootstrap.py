import numpy as np
from group_bootstrap import bootstrap_aurocs

from outshine.stats.auroc import auroc


def test_each_resample_is_the_auroc_of_the_rows_drawn():
    rng = np.random.default_rng(0)
    y = rng.random(40) < 0.5
    scores = rng.integers(0, 5, (2, 40)).astype(float)
    scores[1, :3] = np.inf
    groups = rng.integers(0, 9, 40)
    resampled = bootstrap_aurocs(y, scores, groups, num_resamples=50, seed=3)
    order = {name: code for code, name in enumerate(dict.fromkeys(groups.tolist()))}
    codes = np.array([order[g] for g in groups.tolist()])
    drawn = np.random.default_rng(3).multinomial(len(order), np.full(len(order), 1 / len(order)), size=50)
    for times, aucs in zip(drawn, resampled, strict=True):
        rows = np.repeat(np.arange(40), times[codes])
        np.testing.assert_allclose(aucs, [auroc(y[rows], score[rows]) for score in scores], rtol=1e-13)


def test_resamples_without_both_classes_are_drawn_again():
    resampled = bootstrap_aurocs([1, 0, 0], [[3, 1, 2]], num_resamples=500, seed=0)
    assert resampled.shape == (500, 1)
    assert np.all(resampled == 1.0)


def test_the_seed_decides():
    rng = np.random.default_rng(1)
    y, scores = rng.random(30) < 0.5, rng.normal(size=(1, 30))
    first = bootstrap_aurocs(y, scores, num_resamples=20, seed=5)
    assert np.array_equal(first, bootstrap_aurocs(y, scores, num_resamples=20, seed=5))
    assert not np.array_equal(first, bootstrap_aurocs(y, scores, num_resamples=20, seed=6))

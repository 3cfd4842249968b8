"""What every probe and every filter keeps, as checks on made-up activations."""

from __future__ import annotations

import torch
from torch import Tensor

from outshine.engine.errors import DataError
from outshine.learn.filters.base import Filter
from outshine.learn.probes import Labelled, Predicted, Probe
from outshine.testing.demands import Demand, check_all, other_global_randomness, require, require_equal, rounding

NUM, WIDTH = 160, 6
Rows = tuple[list[str], Tensor, Tensor]


def made_up_rows(seed: int = 0, num: int = NUM, *, lattice: bool = False) -> Rows:
    """Ids, activations and soft labels that depend on them; on a lattice many distances and labels are tied."""
    generator = torch.Generator().manual_seed(seed)
    acts = torch.randn(num, WIDTH, generator=generator)
    acts = acts.round() if lattice else acts
    p = torch.sigmoid(2 * acts[:, 0] - acts[:, 1] + torch.randn(num, generator=generator)).double()
    return [f"{seed}-{i:04d}" for i in range(num)], acts, p.round(decimals=1) if lattice else p


def check_probe(probe: Probe) -> None:
    """Check that a probe keeps what every probe keeps.

    Args:
        probe: A probe with its settings.

    Raises:
        AssertionError: It breaks a demand; the message names each that is broken, and what was observed.
    """
    check_all(probe, "probe", PROBE_DEMANDS)


def predictions_are_probabilities(probe: Probe) -> None:
    """Predictions are probabilities and their log-odds, float64, finite, one for each row, and differ between rows."""
    for lattice in (False, True):
        ids, acts, p = made_up_rows(lattice=lattice)
        for labels in (p, (p > 0.5).double()):  # soft ones, and those of zero and one
            train = Labelled.of(ids, acts, labels)
            fitted = probe.fit(train)
            _require_probabilities(fitted.predict(made_up_rows(1)[1]), "For new rows")
            _require_probabilities(fitted.predict_own(train), "For its own rows")


def _require_probabilities(predicted: Predicted, where: str) -> None:
    p, log_odds = predicted
    for values in (p, log_odds):
        form = f"{where} it gave {tuple(values.shape)} of {values.dtype} for {NUM} rows."
        require(values.dtype == torch.float64 and values.shape == (NUM,), form)
    require(bool(((p >= 0) & (p <= 1)).all()), f"{where} p is not in [0, 1] throughout.")
    require(bool(log_odds.isfinite().all()), f"{where} some log-odds are not finite.")
    require_equal(p, log_odds.sigmoid(), 1e-11, f"{where}, p and the sigmoid of its log-odds")
    require(float(p.std()) > 0, f"{where} all p are the same.")


def the_order_of_rows_does_not_matter_to_a_probe(probe: Probe) -> None:
    """The same for any order of the rows that it is fitted on and that it predicts."""
    for lattice in (False, True):
        ids, acts, p = made_up_rows(lattice=lattice)
        new = made_up_rows(1, lattice=lattice)[1]
        order = torch.randperm(NUM, generator=torch.Generator().manual_seed(5))
        train, shuffled = Labelled.of(ids, acts, p), Labelled.of([ids[i] for i in order], acts[order], p[order])
        fitted, again = probe.fit(train), probe.fit(shuffled)
        own = again.predict_own(shuffled).p, fitted.predict_own(train).p
        require_equal(*own, 0.0, "Fitted on rows given in another order and in the usual one")
        expected = fitted.predict(new)
        tolerance = rounding(expected.log_odds.float())  # activations are float32, so a probe may compute in it
        require_equal(again.predict(new[order]).p, expected.p[order], tolerance, "Predicted in another order and not")


def a_second_fit_is_the_same(probe: Probe) -> None:
    """A second fit is the same to the bit; settings, rows and global random numbers are left alone."""
    train, settings = Labelled.of(*made_up_rows()), probe.model_dump()
    acts, p = train.acts.clone(), train.p_weak.clone()
    first = probe.fit(train).predict(train.acts).p
    with other_global_randomness():
        second = probe.fit(train).predict(train.acts).p
    require_equal(second, first, 0.0, "Of the second and of the first fit")
    require(torch.equal(train.acts, acts) and torch.equal(train.p_weak, p), "It wrote into the rows that it got.")
    require(probe.model_dump() == settings, "The settings are others after a fit.")


def predictions_rise_with_the_labels(probe: Probe) -> None:
    """Where activations show the labels plainly, predictions of new rows rise with them."""
    _, acts, p = made_up_rows(1)
    predicted = probe.fit(Labelled.of(*made_up_rows())).predict(acts).p
    correlation = float(torch.corrcoef(torch.stack([predicted, p]))[0, 1])
    require(correlation > 0.3, f"Their correlation is {correlation:.2f}; above 0.3 is asked for.")


PROBE_DEMANDS: tuple[Demand, ...] = (
    predictions_are_probabilities,
    the_order_of_rows_does_not_matter_to_a_probe,
    a_second_fit_is_the_same,
    predictions_rise_with_the_labels,
)


def check_filter(filter: Filter) -> None:
    """Check that a filter keeps what every filter keeps.

    Args:
        filter: A filter with its settings.

    Raises:
        AssertionError: It breaks a demand; the message names each that is broken, and what was observed.
    """
    check_all(filter, "filter", FILTER_DEMANDS)


def exactly_the_share_goes(filter: Filter) -> None:
    """Exactly round(drop · n) rows go, and `kept` is bool, one for each row."""
    for lattice in (False, True):
        train = Labelled.of(*made_up_rows(lattice=lattice))
        for drop in (0.1, 0.25, 0.333):
            _require_dropped(filter, train, drop, train)


def other_rows_than_the_training_rows_can_be_filtered(filter: Filter) -> None:
    """Rows of `val` are filtered by what `train` shows, and exactly round(drop · n) of them go."""
    _require_dropped(filter, Labelled.of(*made_up_rows(1, 80)), 0.1, Labelled.of(*made_up_rows()))


def _require_dropped(filter: Filter, rows: Labelled, drop: float, train: Labelled) -> None:
    kept = filter.keep(rows, drop, train).kept
    form = f"`kept` is {tuple(kept.shape)} of {kept.dtype} for {len(rows.ids)} rows."
    require(kept.dtype == torch.bool and kept.shape == (len(rows.ids),), form)
    gone, expected = int((~kept).sum()), round(drop * len(rows.ids))
    require(gone == expected, f"With drop = {drop} of {len(rows.ids)} rows {gone} went and not {expected}.")


def the_order_of_rows_does_not_matter_to_a_filter(filter: Filter) -> None:
    """The same rows go for any order in which they are given."""
    for lattice in (False, True):
        ids, acts, p = made_up_rows(lattice=lattice)
        order = torch.randperm(NUM, generator=torch.Generator().manual_seed(5))
        train, shuffled = Labelled.of(ids, acts, p), Labelled.of([ids[i] for i in order], acts[order], p[order])
        kept, again = (filter.keep(rows, 0.2, rows).kept for rows in (train, shuffled))
        _require_same(kept, again, "rows are given in another order")


def the_same_rows_go_again(filter: Filter) -> None:
    """The same rows go again; settings, rows and global random numbers are left alone."""
    train, settings = Labelled.of(*made_up_rows()), filter.model_dump()
    acts, p = train.acts.clone(), train.p_weak.clone()
    first = filter.keep(train, 0.2, train).kept
    with other_global_randomness():
        second = filter.keep(train, 0.2, train).kept
    _require_same(first, second, "it is asked again")
    require(torch.equal(train.acts, acts) and torch.equal(train.p_weak, p), "It wrote into the rows that it got.")
    require(filter.model_dump() == settings, "The settings are others afterwards.")


def _require_same(kept: Tensor, again: Tensor, when: str) -> None:
    differ = int((kept != again).sum())
    require(differ == 0, f"{differ} of {len(kept)} rows are treated otherwise where {when}.")


def removing_everything_is_refused(filter: Filter) -> None:
    """A share that leaves no row is refused with a DataError, as `num_dropped` does."""
    train = Labelled.of(*made_up_rows())
    try:
        filter.keep(train, 0.999, train)
    except DataError:
        return
    require(False, f"With drop = 0.999 of {NUM} rows none was raised.")


FILTER_DEMANDS: tuple[Demand, ...] = (
    exactly_the_share_goes,
    other_rows_than_the_training_rows_can_be_filtered,
    the_order_of_rows_does_not_matter_to_a_filter,
    the_same_rows_go_again,
    removing_everything_is_refused,
)

"""Weak labels made up for a test."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd

from outshine.engine.rng import stream_seed
from outshine.w2s.stages.labels import WeakLabelSource
from outshine.w2s.stages.prepare import Texts


class HashLabels(WeakLabelSource):
    """p_weak drawn from a hash of the id; `flat`: the same for all, `most`: none is higher."""

    kind: ClassVar[str] = "hash"

    texts: Texts
    flat: float | None = None
    most: float = 1.0

    def read_labels(self, store):
        ids = self.texts.read(store)["id"]
        p = np.array([stream_seed("test", one) / 2**63 for one in ids]) * self.most
        return pd.Series(p if self.flat is None else np.full(len(ids), self.flat), index=ids)

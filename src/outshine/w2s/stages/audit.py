"""Audit: what gives a dataset's labels away, found once per preparation and kept beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

from outshine.data.audit.findings import Finding
from outshine.data.task import EVERY_OUTCOME
from outshine.engine.stage import Context, Cost, Stage
from outshine.w2s.stages.prepare import MOST_UNKNOWN, Prepare

if TYPE_CHECKING:
    import pandas as pd

    from outshine.engine.store.store import Store
    from outshine.learn.spec import ModelSettings
    from outshine.w2s.cost import Estimator

FINDINGS = "findings.json"


class Audit(Stage):
    """The findings about one prepared dataset: `findings.json`, a list of `Finding` records.

    Keyed by the preparation itself and not by the digests of its tables: rule (c) formats the source's rows again, so
    that the result depends on the recipe and its source too. VERSION is bumped when a rule changes.
    """

    VERSION: ClassVar[int] = 2
    stage: ClassVar[str] = "audit"
    quick: ClassVar[bool] = True
    outcomes: ClassVar[tuple[str, ...]] = EVERY_OUTCOME  # the kinds of labels that its checks can read

    prepare: Prepare

    @property
    def label(self) -> str:
        return f"audit {self.prepare.name}"

    @property
    def plan_row(self) -> tuple[int, str]:
        return 2, "audits"

    def cost(self, estimator: Estimator) -> Cost:
        return Cost(estimator.rows(self.prepare))

    def run(self, context: Context) -> None:
        from outshine.data.audit.audit import audit

        findings = audit(self.prepare.read(context.store), self.prepare.recipe)
        records = [finding.to_json() for finding in findings]
        (context.folder / FINDINGS).write_text(json.dumps(records, indent=1, ensure_ascii=False), encoding="utf-8")

    def read(self, store: Store) -> list[Finding]:
        """The findings of a finished audit, passed checks included."""
        return store.document(self.key, FINDINGS, lambda records: [Finding.from_json(record) for record in records])


def read_by_model(texts: pd.DataFrame, settings: ModelSettings) -> list[Finding]:
    """Measure the shares of texts too long for a model and of tokens that it does not know, by its own tokenizer.

    `texts`: as of `Prepare`. Raises ModelError and HubError where the model or its tokenizer cannot be had.
    """
    from outshine.learn.load import load_tokenizer
    from outshine.learn.resolve import resolve
    from outshine.learn.tokenize import Text, encode

    spec = resolve(settings, "float32").spec  # the number format has no say in tokens
    rows = [Text(*row) for row in texts[["text", "cut_start", "cut_end"]].itertuples(index=False)]
    encoded = encode(load_tokenizer(spec.model), rows, spec.max_length)
    share = sum(encoded.shortened) / len(rows)
    longest = "" if share else f", the longest has {max(encoded.lengths):,}"
    message = f"{spec.name} shortens {share:.1%} of the texts to {spec.max_length:,} tokens{longest}"
    unknown = sum(encoded.unknown) / len(rows)
    unknown_message = f"{spec.name}'s tokenizer does not know {unknown:.1%} of the tokens"
    return [
        Finding("shortened texts", "cue" if share else "passed", message, value=share),
        Finding("unknown tokens", "warning" if unknown >= MOST_UNKNOWN else "passed", unknown_message, value=unknown),
    ]

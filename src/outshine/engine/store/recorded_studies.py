"""Records of the studies that ran in a store: their settings, and the artefacts that they need."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from outshine.engine.checked_reading import ODD, as_date
from outshine.engine.errors import StoreError, UnknownNameError
from outshine.engine.key import KEY, digest
from outshine.engine.process_group import ProcessGroup
from outshine.engine.progress import Progress
from outshine.engine.settings import Settings
from outshine.engine.stage import Stage, in_order
from outshine.engine.store.store import Store

KIND = "studies"
_FORMAT = 1
_SHOWN = 12  # hex digits of a digest that listings show
_LEAST = 6  # hex digits that name a study


class RecordedStudy(NamedTuple):
    """A study as the store remembers it."""

    digest: str  # of the resolved study without its runtime: the same results are the same study
    name: str
    study: dict[str, Any]  # resolved, as `study.yaml` has it
    keys: frozenset[str]  # of every stage that it needs
    expanded: bool  # whether these are all: before its data are prepared only the first are known
    first_ran: datetime
    last_ran: datetime
    kinds: Mapping[str, str]  # of each key, which kind of stage it is; empty where that is not known
    work: Mapping[str, float]  # how much is in a stage (`execution.work`), by key, as far as that is known

    @property
    def short(self) -> str:
        """The beginning of the digest, for listings."""
        return self.digest[:_SHOWN]


def record_study(
    study: Settings,
    stages: Sequence[Stage],
    store: Store,
    progress: Progress,
    processes: ProcessGroup,
    *,
    expanded: bool = False,
    work: Mapping[str, float] | None = None,
) -> None:
    """Write down that a resolved study runs and what it needs, so that `gc` keeps it. The main process does.

    To be called before it is looked whether a stage is in the store: what is there then stays. A store that cannot be
    written is left as it is. `work`: how much is in which stage, for whoever watches.
    """
    if not processes.is_main:
        return
    try:
        with studies_held(store):
            kinds = {stage.key: stage.stage for stage in in_order(list(stages))}
            keep_record(study.model_dump(mode="json"), kinds, store, expanded, work or {})
    except StoreError as error:
        if not (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EROFS):
            progress.note(f"the study is not recorded: `outshine gc` may not know of it ({error})")
        # what cannot be written at all needs no protection


def keep_record(
    study: Mapping[str, Any],
    stages: Mapping[str, str],
    store: Store,
    expanded: bool,
    work: Mapping[str, float] = MappingProxyType({}),
) -> RecordedStudy:
    """Record a resolved study as having run now. `stages`: keys and their kinds. Call it with `studies_held`."""
    keys, kinds = set(stages), stages
    name = study_digest(study)
    before = _parsed(name, store.documents(KIND).read(name))
    now = datetime.now(UTC).replace(microsecond=0)
    if before and not expanded:  # until all keys are known anew, those of the last time are kept too
        kinds = before.kinds if keys <= before.keys else {}
        keys, expanded = keys | before.keys, False
    document = {
        "format": _FORMAT,
        "name": study["name"],
        "study": dict(study),
        "keys": sorted(keys),
        "stages": dict(kinds),
        "work": dict(work) or (dict(before.work) if before else {}),
        "expanded": expanded,
        "first_ran": (before.first_ran if before else now).isoformat(),
        "last_ran": now.isoformat(),
    }
    store.documents(KIND).write(name, document)
    recorded = _parsed(name, document)
    assert recorded is not None
    return recorded


def study_digest(study: Mapping[str, Any]) -> str:
    """What a resolved study is known by: all its settings but those of the machine and of how results are read."""
    left_out = ("runtime", "executor", "better_than", "metrics")
    return digest({name: value for name, value in study.items() if name not in left_out})


def recorded_studies(store: Store) -> list[RecordedStudy]:
    """Return all studies that ran in the store, latest last.

    Raises StoreError where a record cannot be read: nobody knows then what that study needs.
    """
    studies = []
    documents = store.documents(KIND)
    read = documents.all()
    for name in documents.names():
        recorded = _parsed(name, read.get(name) or documents.read(name))
        if recorded is None and name in documents.names():  # nor was it forgotten meanwhile
            raise StoreError(
                f"the record of a study {store.where}/{KIND}/{name}.json cannot be read, so that it is unknown which "
                "artefacts it needs; "
                "run that study again or delete the file, which forgets the study"
            )
        if recorded:
            studies.append(recorded)
    return sorted(studies, key=lambda study: (study.last_ran, study.digest))


def find_recorded(name: str, store: Store) -> RecordedStudy:
    """Find the recorded study of that name, or whose digest begins so. Raises OutshineError for none or several."""
    studies = recorded_studies(store)
    matches = [study for study in studies if study.name == name]
    if not matches and len(name) >= _LEAST:
        matches = [study for study in studies if study.digest.startswith(name.lower())]
    if not matches:
        raise UnknownNameError(f"study recorded in {store.where}", name, {study.name for study in studies})
    if len(matches) > 1:
        options = ", ".join(f"{study.short} (ran {study.last_ran:%Y-%m-%d %H:%M})" for study in matches)
        raise StoreError(f"{len(matches)} recorded studies are called '{name}': {options}; name one by its digest")
    return matches[0]


def studies_held(store: Store) -> AbstractContextManager[None]:
    """Be the only process that records studies or goes by what is recorded. Held for moments only."""
    return store.alone(KIND)


def _mapping(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What helps to watch and is needed for nothing else: whatever is wrong with it makes no record unreadable."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _parsed(name: str, document: dict[str, Any] | None) -> RecordedStudy | None:
    """A document as a record; None where it is none that this version can read."""
    try:
        if document is None or document["format"] > _FORMAT:
            return None
        keys = document["keys"]
        if not all(isinstance(key, str) and KEY.fullmatch(key) for key in keys):
            return None
        first, last = (as_date(document[when]) for when in ("first_ran", "last_ran"))
        study = dict(document["study"])
        kinds = {key: str(kind) for key, kind in _mapping(document, "stages").items()}
        kinds = kinds if kinds.keys() == set(keys) else {}
        work = {
            key: flops for key, flops in _mapping(document, "work").items() if isinstance(flops, float) and flops > 0
        }
        all_known = bool(document["expanded"])
        return RecordedStudy(name, str(document["name"]), study, frozenset(keys), all_known, first, last, kinds, work)
    except ODD:
        return None

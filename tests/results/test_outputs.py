"""Tables read again from folders and files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from outshine.engine.errors import DataError
from outshine.results.pairing import pair
from outshine.results.saved_tables import read_tables
from study_tables import against_xent, pgrs, scores

TABLE = scores(against_xent([0.1, 0.2]))


def folder(path: Path, table: pd.DataFrame = TABLE, *, with_pgr: bool = True) -> Path:
    path.mkdir()
    table.to_parquet(path / "scores.parquet", index=False)
    if with_pgr:
        pgrs(table).to_parquet(path / "pgr.parquet", index=False)
    return path


def test_a_folder_holds_both_tables(tmp_path):
    found = read_tables([folder(tmp_path / "out")])
    assert found.pgr is not None
    pd.testing.assert_frame_equal(found.scores, TABLE, check_dtype=False)
    assert len(found.pgr) == 4
    assert read_tables([folder(tmp_path / "older", with_pgr=False)]).pgr is None


def test_folders_are_laid_together_and_doubles_dropped(tmp_path):
    shared, logconf = TABLE["role"] != "student", TABLE["loss"] == "logconf"
    one = folder(tmp_path / "a", TABLE[shared | logconf])
    two = folder(tmp_path / "b", TABLE[shared | ~logconf], with_pgr=False)
    assert len(read_tables([one, two, one]).scores) == len(TABLE)


def test_files_are_known_by_their_columns(tmp_path):
    TABLE.to_csv(tmp_path / "mine.csv", index=False)
    pgrs(TABLE).to_csv(tmp_path / "theirs.csv", index=False)
    found = read_tables([tmp_path / "theirs.csv", tmp_path / "mine.csv"])
    assert found.pgr is not None
    for metric in ("auroc", "pgr"):  # empty texts come back as empty, not as missing
        assert pair(found.scores, found.pgr, "xent", metric) == pair(TABLE, pgrs(TABLE), "xent", metric)


def test_places_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="no folder or file 'nowhere'; name the --out folder"):
        read_tables([Path("nowhere")])
    with pytest.raises(DataError, match=r"holds no scores\.parquet"):
        read_tables([tmp_path])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(DataError, match=r"cannot read .*bad\.parquet"):
        read_tables([tmp_path / "bad.parquet"])
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"other\.csv is no table of scores \(it lacks study, dataset"):
        read_tables([tmp_path / "other.csv"])
    pgrs(TABLE).to_csv(tmp_path / "pgr.csv", index=False)
    with pytest.raises(DataError, match="no table of scores among"):
        read_tables([tmp_path / "pgr.csv"])

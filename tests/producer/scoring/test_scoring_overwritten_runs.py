"""Scoring of a run that is overwritten meanwhile: the new run keeps its own file."""

import pytest

from common.errors import OverwrittenRun, UsageError
from common.schema import META_SCORES
from common.store import merge_run, verify_run
from producer.scoring.score import score_run
from tests.common.storekit import make_run, put_part, read_feather


@pytest.mark.parametrize("merged", [False, True])
def test_scoring_that_ends_late_does_not_bring_the_old_file_back(any_store, monkeypatch, merged):
    old, new = make_run(any_store, 7), []
    put_part(old, range(7))
    merge_run(old)

    def overwriting(rows):
        old.delete()
        new.append(make_run(any_store, 7))
        if merged:
            put_part(new[0], range(7))
            merge_run(new[0])
        return kept(rows)

    from producer.scoring import score

    kept = score.kept_rows
    monkeypatch.setattr(score, "kept_rows", overwriting)
    with pytest.raises((OverwrittenRun, UsageError, FileNotFoundError)):
        score_run(old)
    assert any_store.exists(new[0].feather) is merged
    if merged:
        assert verify_run(new[0]) == []
        assert META_SCORES not in read_feather(new[0]).schema.metadata

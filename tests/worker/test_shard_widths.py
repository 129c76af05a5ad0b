"""worker.shards: runs of other numbers of paraphrases are not answered by one engine call."""

import pytest

from common.errors import RejectShard
from tests.worker.conftest import shard_of


def test_runs_of_one_message_must_read_as_many_paraphrases(make_runs):
    """The engine reads one number in a call: avg-2 would be answered from three."""
    wide = make_runs(methods=("origin", "avg")).runs
    narrow = make_runs(methods=("avg",), num_paraphrases=2).runs
    with pytest.raises(RejectShard, match=r"avg-3.*avg-2.* cannot share a prefill"):
        shard_of((*wide, *narrow), [0])
    assert len(shard_of((wide[0], *narrow), [0]).samples[0].paraphrases) == 2

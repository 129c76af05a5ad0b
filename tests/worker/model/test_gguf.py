"""GGUF files are unpacked into a cache folder, or the reason why not is given."""

import pytest

from common.errors import StopRun
from common.models import find_model
from worker.model.gguf import unpacked_gguf


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StopRun, match=r"cache folder .*file/models .*XDG_CACHE_HOME"):
        unpacked_gguf(find_model("smollm2_135m_it"), tmp_path / "file")

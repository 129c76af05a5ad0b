"""producer.session: what it prints is printed as it is, also where it looks like markup."""

from io import StringIO

import pytest
from rich.console import Console

from common.settings import Settings
from producer.datasets.hub import HubError
from producer.session import Session
from tests.common.storekit import put_part


@pytest.fixture
def session(ask, broker_url, tmp_path):
    """Make a session for a store whose name has square brackets in it."""

    def make(**changes):
        settings = Settings(
            broker=f"{broker_url.removesuffix('/0')}/11", store=str(tmp_path / "runs [a][/b]")
        )
        console = Console(file=StringIO(), width=200)
        return Session.prepare(settings, ask(**changes), console), console.file

    return make


def test_the_summary_ends_with_the_paths_of_the_files(session):
    made, screen = session(methods=("avg", "origin"))
    for run in made.all_runs():
        put_part(run, range(11), choices={"attention": "sdpa"}, reasons={"attention": "no [gcc]"})
    made.enqueue()
    again, screen = session(methods=("avg", "origin"))
    again.enqueue()
    again.print_summary()
    lines = screen.getvalue().splitlines()
    assert lines[-2:] == [run.feather_path for run in again.all_runs()]
    assert "attention: sdpa (no [gcc])" in lines


def test_a_note_is_printed_word_for_word(session, monkeypatch):
    def fail(*_, **__):
        raise HubError("[ssl: manifest] it failed[/x]")

    monkeypatch.setattr("producer.datasets.hub.load_split", fail)
    made, screen = session(dataset="webqa", num_few_shot=None)
    made.enqueue()
    printed = " ".join(screen.getvalue().split())
    assert "[ssl: manifest] it failed[/x]" in printed


def test_it_tells_whether_there_was_anything_to_send(session):
    made, _ = session()
    assert made.enqueue() is True
    for run in made.all_runs():
        put_part(run, range(11))
    again, _ = session()
    assert again.enqueue() is False

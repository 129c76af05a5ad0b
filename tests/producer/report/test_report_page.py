"""producer.report.page: one file, everything in it, nothing of the data taken for HTML."""

import base64
import hashlib
import json
import re
import sys
from collections import Counter
from html.parser import HTMLParser

import matplotlib
import pytest

from common.errors import UsageError
from producer.report.page import render_page
from tests.producer.report.report_examples import FAILED, FOLDER, SKILLS, make_document

HOSTILE = '</script><b>who\'s "Ann" & <!-- <script>Bob</script>?'


class Reader(HTMLParser):
    """What a page is made of: elements with their attributes, text by the element it is in."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts, self.open = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open = tag

    def handle_data(self, data):
        if self.open in ("script", "style"):
            self.texts.append((self.open, data))
            self.open = ""

    def count(self, tag):
        return sum(name == tag for name, _ in self.elements)

    def values(self, attribute):
        return [attrs[attribute] for _, attrs in self.elements if attribute in attrs]


@pytest.fixture(scope="module")
def document():
    return make_document()


@pytest.fixture(scope="module")
def html(document):
    return render_page(document)


def without_breaks(html):
    return re.sub(r'<wbr>|<span class="name">|</span>', "", html)


def data_of(html):
    return json.loads(next(text for tag, text in Reader(html).texts if tag == "script"))


def test_every_run_and_every_comparison_is_in_the_page(html, document):
    for name in SKILLS:
        assert f'<th scope="row">{name}</th>' in without_breaks(html)
    assert html.count("<i>against</i>") == len(document.comparisons) == 10
    assert data_of(html)["runs"] == [FOLDER + name for name in SKILLS]


def test_every_sample_is_in_the_page_with_all_that_is_known_of_it(html, document):
    rows = data_of(html)["rows"]
    assert [row["uuid"] for row in rows] == [sample.uuid for sample in document.samples]
    row, sample = rows[2], document.samples[2]
    assert row["predictions"] == [sample.predictions[run.run] for run in document.runs]
    assert row["correct"] == [sample.correct[run.run] for run in document.runs]
    assert row["errors"] == [None, None, FAILED, None, None]
    assert tuple(row["paraphrases"]) == sample.paraphrases
    assert (tuple(row["singles"]), tuple(row["singles_correct"])) == (
        sample.singles, sample.singles_correct
    )  # fmt: skip


def test_flips_of_two_runs_are_rows_of_the_table(html, document):
    data = data_of(html)
    for numbers, comparison in zip(data["pairs"], document.comparisons, strict=True):
        assert tuple(data["rows"][n]["uuid"] for n in numbers) == comparison.flips


def test_a_run_that_has_no_answer_of_its_own_has_none_in_the_page(document):
    sample = document.samples[0].model_copy(update={"predictions": {}, "correct": {}})
    row = data_of(render_page(document.model_copy(update={"samples": (sample,)})))["rows"][0]
    assert row["predictions"] == row["correct"] == [None] * 5


def test_the_page_refers_to_nothing_outside_itself(html):
    page = Reader(html)
    for attribute in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
        assert all(re.match(r"#|data:", value) for value in page.values(attribute)), attribute
    addresses = re.findall(r"url\(([^)]*)\)", html)
    assert addresses != []
    assert all(address.startswith("#") for address in addresses)
    assert not re.search(r"@import|<(link|iframe|object|embed|base)\b(?! rel=\"icon\")", html)


def test_the_policy_allows_the_style_and_the_script_of_the_page_and_nothing_else(html):
    page = Reader(html)
    (policy,) = [a["content"] for _, a in page.elements if "Security" in a.get("http-equiv", "")]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    (style,) = [text for tag, text in page.texts if tag == "style"]
    _, script = [text for tag, text in page.texts if tag == "script"]
    for text, rule in ((style, "style-src"), (script, "script-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_nothing_needs_what_the_policy_forbids(html):
    names = {name for _, attributes in Reader(html).elements for name in attributes}
    assert "style" not in names
    assert not [name for name in names if name.startswith("on")]


def test_ids_are_unique_and_references_lead_somewhere(html):
    page = Reader(html)
    ids = Counter(page.values("id"))
    assert set(ids.values()) == {1}
    used = {value[1:] for value in page.values("href") if value.startswith("#")}
    used |= set(re.findall(r"url\(#([^)]*)\)", html))
    assert used <= set(ids)


def test_text_of_the_data_is_never_taken_for_html(document):
    clean = Reader(render_page(document))
    sample = document.samples[0].model_copy(
        update={
            "uuid": HOSTILE, "paraphrases": (HOSTILE,), "answers": (HOSTILE,),
            "predictions": {document.runs[0].run: HOSTILE},
            "errors": {document.runs[1].run: HOSTILE},
            "singles": (HOSTILE,), "singles_correct": (False,),
        }
    )  # fmt: skip
    hostile = document.model_copy(
        update={
            "title": HOSTILE, "dataset": HOSTILE, "metric": HOSTILE, "notes": (HOSTILE,),
            "samples": (sample,),
        }
    )  # fmt: skip
    html = render_page(hostile)
    page = Reader(html)
    assert Counter(tag for tag, _ in page.elements) == Counter(tag for tag, _ in clean.elements)
    assert "<b>who" not in html
    row = data_of(html)["rows"][0]
    assert row["paraphrases"] == row["singles"] == row["answers"] == [row["uuid"]] == [HOSTILE]
    assert (row["predictions"][0], row["errors"][1]) == (HOSTILE, HOSTILE)


def test_a_run_whose_name_is_markup_is_escaped_in_tables_and_plots(document):
    runs = (document.runs[0].model_copy(update={"run": "a/b/<i>$x_1$&"}),)
    changes = {"runs": runs, "comparisons": (), "paraphrases": ()}
    page = render_page(document.model_copy(update=changes))
    assert "<i>$x" not in page
    assert without_breaks(page).count("&lt;i&gt;$x_1$&amp;") >= 4


def test_the_same_document_gives_the_same_page_whatever_matplotlib_is_set_to(html, document):
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": "x", "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        assert render_page(document) == html
        assert dict(matplotlib.rcParams) == before


def test_plots_say_their_figures_in_words(html, document):
    labels = [a["aria-label"] for _, a in Reader(html).elements if a.get("class") == "plot"]
    accuracy, rates, counts = labels
    for run in document.runs:
        name, share = run.run.removeprefix(FOLDER), run.accuracy
        figures = f"{100 * share.value:.1f}\xa0% ({100 * share.low:.1f} to {100 * share.high:.1f})"
        assert f"{name} {figures}" in accuracy
    assert "origin not measured" in rates
    assert "avg-5 2.78/s" in rates
    assert (
        counts.count("oracle") == counts.count("majority") == len(document.paraphrases[0].by_count)
    )


def test_plots_follow_the_colour_of_the_text(html):
    assert "currentColor" in html
    assert "#010203" not in html
    assert "#000000" not in html


def test_a_report_of_one_run_says_what_it_cannot_show():
    run = make_document(1).runs[0]
    html = render_page(make_document(1, runs=(run,), comparisons=(), paraphrases=()))
    assert "There is one run only" in html
    assert "None of these runs keeps the answer of each paraphrase" in html
    assert "Questions answered per second" not in html
    assert Reader(html).count("svg") == 1 + 3 + 1  # accuracy, the key, the mask


def test_what_was_cut_to_common_questions_and_every_note_is_said_at_the_top():
    html = render_page(make_document(7, notes=("one thing", "another")))
    top = " ".join(html[: html.index("<main>")].split())
    assert "the same 7 questions of <b>webqa</b>, cut to those that all runs have, from 46." in top
    assert "<li>one thing</li>" in top
    assert "<li>another</li>" in top


@pytest.mark.parametrize("library", ["matplotlib", "jinja2"])
def test_a_missing_library_is_named_with_what_installs_it(monkeypatch, document, library):
    for module in [m for m in sys.modules if m.startswith("producer.report.page.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=rf"{library}.*pip install 'self-ensemble\[report\]'"):
        render_page(document)

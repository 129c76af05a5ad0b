"""The page in real Chromium, opened from disk without a network, used as a reader would."""

import io
import re

import pytest
from PIL import Image

from producer.report.page import render_page
from tests.producer.report import headless
from tests.producer.report.report_examples import FOLDER, make_document

QUESTIONS = 60
PAGE_SIZE = 50


@pytest.fixture(scope="module")
def document():
    return make_document(QUESTIONS)


@pytest.fixture(scope="module")
def path(tmp_path_factory, document):
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render_page(document), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser():
    with headless.open_chromium() as opened:
        yield opened


@pytest.fixture
def open_page(browser, path):
    """Open the page. Afterwards check that it logged nothing and requested only itself."""
    contexts, messages, requests = [], [], []

    def open_(**options):
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: messages.append(f"error: {error}"))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert messages == []
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()] * len(
        contexts
    )


def shown(page):
    """The first paraphrase of every visible row."""
    rows = page.locator("#sample-rows tr:visible")
    return rows.locator(".paraphrases li:first-child .paraphrase").all_inner_texts()


def first_paraphrases(samples):
    return [sample.paraphrases[0] for sample in samples]


def wait_for_count(page, text):
    page.wait_for_function(
        "text => document.getElementById('sample-count').textContent === text", arg=text
    )


def test_the_page_opens_without_a_word_in_the_console_or_a_request(open_page, document):
    page = open_page()
    assert page.title() == document.title
    assert page.locator("svg[role=img]").count() == 6
    wait_for_count(page, f"{QUESTIONS} of {QUESTIONS} questions; the first {PAGE_SIZE} are shown")


def test_typing_in_the_search_box_leaves_the_rows_that_have_every_word(open_page, document):
    page = open_page()
    page.locator("#sample-search").press_sequentially("Country 17 CAPITAL")
    wait_for_count(page, f"1 of {QUESTIONS} questions")
    assert shown(page) == first_paraphrases([document.samples[17]])
    page.locator("#sample-search").fill("no such words")
    wait_for_count(page, f"0 of {QUESTIONS} questions")
    assert shown(page) == []


def test_flips_only_shows_the_questions_on_which_runs_disagree(open_page, document):
    page = open_page()
    page.locator("#sample-filter").select_option("flips only")
    flips = [sample for sample in document.samples if sample.flips]
    assert 0 < len(flips) < PAGE_SIZE
    wait_for_count(page, f"{len(flips)} of {QUESTIONS} questions")
    assert shown(page) == first_paraphrases(flips)
    assert page.locator("#sample-rows .flip:visible").count() == len(flips)


def test_failed_only_shows_the_error_where_the_answer_would_be(open_page, document):
    page = open_page()
    page.locator("#sample-filter").select_option("failed only")
    wait_for_count(page, f"1 of {QUESTIONS} questions")
    assert shown(page) == first_paraphrases([document.samples[2]])
    assert page.locator("#sample-rows .error").all_inner_texts() == [
        f"failed: {document.samples[2].errors[FOLDER + 'flex_attention-5']}"
    ]


def test_wrong_by_a_run_and_a_search_go_together(open_page, document):
    page = open_page()
    page.locator("#sample-filter").select_option("wrong by avg-5")
    page.locator("#sample-search").fill("lima")
    wrong = [
        sample
        for sample in document.samples
        if "Lima" in {*sample.answers, *sample.predictions.values(), *sample.singles}
        and not sample.correct[FOLDER + "avg-5"]
    ]
    assert 0 < len(wrong) < PAGE_SIZE
    wait_for_count(page, f"{len(wrong)} of {QUESTIONS} questions")
    assert shown(page) == first_paraphrases(wrong)


def test_the_flips_of_a_comparison_are_one_click_away(open_page, document):
    page = open_page()
    page.locator("#comparisons a").nth(3).click()
    flips = document.comparisons[3].flips
    wait_for_count(page, f"{len(flips)} of {QUESTIONS} questions")
    assert page.locator("#sample-rows .uuid").all_inner_texts() == list(flips)


def test_more_rows_come_when_asked_for(open_page, document):
    page = open_page()
    assert len(shown(page)) == PAGE_SIZE
    page.get_by_role("button", name="Show 10 more").click()
    wait_for_count(page, f"{QUESTIONS} of {QUESTIONS} questions")
    assert shown(page) == first_paraphrases(document.samples)
    assert page.locator("#sample-more").is_hidden()


def test_a_row_shows_every_paraphrase_answer_and_mark(open_page, document):
    row = open_page().locator("#sample-rows tr").first
    sample = document.samples[0]
    marks = ["right" if right else "wrong" for right in sample.singles_correct or ()]
    assert row.locator(".paraphrase").all_inner_texts() == list(sample.paraphrases)
    assert row.locator(".single .said").all_inner_texts() == list(sample.singles or ())
    assert labels(row.locator(".single [role=img]")) == marks
    assert row.locator(".gold li").all_inner_texts() == list(sample.answers)
    assert row.locator(".runs .said").all_inner_texts() == list(sample.predictions.values())
    correct = ["right" if right else "wrong" for right in sample.correct.values()]
    assert labels(row.locator(".runs [role=img]")) == correct


def labels(locator):
    return [mark.get_attribute("aria-label") for mark in locator.all()]


def luminance(color):
    """Relative luminance of `rgb(r, g, b)` (WCAG 2.2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(page, selector):
    """Of the first match's text with the ground of the page (WCAG 2.2)."""
    text = page.locator(selector).first.evaluate("element => getComputedStyle(element).color")
    pair = sorted([luminance(text), luminance(ground(page))])
    return (pair[1] + 0.05) / (pair[0] + 0.05)


def ground(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


TEXTS = ("body", ".legend", "a", ".right", ".wrong", ".error", ".uuid", ".lead", "thead th")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_in_dark(open_page, scheme):
    page = open_page(color_scheme=scheme)
    assert (luminance(ground(page)) < 0.5) == (scheme == "dark")
    assert {s: contrast(page, s) for s in TEXTS if contrast(page, s) < 4.5} == {}


def test_text_of_plots_follows_dark_mode(open_page):
    page = open_page(color_scheme="dark")
    assert page.locator("svg.plot text").first.evaluate(
        "text => getComputedStyle(text).fill === getComputedStyle(document.body).color"
    )


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_wider_than_the_window(open_page, width):
    page = open_page(viewport={"width": width, "height": 740})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    wide = page.locator(".scroll").first.evaluate("box => box.scrollWidth > box.clientWidth")
    assert wide == (width == 360)


def test_the_picture_of_the_page_is_not_blank(open_page):
    page = open_page()
    image = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    colors = image.getcolors(image.width * image.height)
    assert len(colors) > 50
    assert max(count for count, _ in colors) < 0.97 * image.width * image.height


def test_every_plot_draws_its_marks(open_page):
    page = open_page()
    for plot in page.locator("svg.plot").all():
        image = Image.open(io.BytesIO(plot.screenshot())).convert("RGB")
        assert (0x2F, 0x86, 0xC5) in {color for _, color in image.getcolors(1 << 20)}


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail), ("", pytest.skip)])
def test_without_chromium_the_test_is_skipped_here_and_fails_in_ci(monkeypatch, ci, outcome):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome.Exception, match="chromium not found"):
        headless.require_chromium()

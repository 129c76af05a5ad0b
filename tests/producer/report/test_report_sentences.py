"""Verdicts, headline and pictures of masks, compared with results worked out by hand."""

import pytest

from common.methods import METHODS
from producer.report.formatting import short_names
from producer.report.page.masks import group_cells, mask_pictures
from producer.report.sentences import headline, verdict
from tests.producer.report.report_examples import FOLDER, make_document

SIGNS = {"self": "\\", "seen": "#", "unseen": "."}


@pytest.fixture(scope="module")
def document():
    return make_document()


@pytest.fixture
def pair(document):
    """A comparison that its own p-value would call a difference."""
    changes = {"p_value": 0.01, "p_adjusted": 0.051, "wins": 9, "losses": 20}
    return document.comparisons[0].model_copy(update=changes)


def names_of(document):
    return short_names([run.run for run in document.runs])


def drawn(*mask):
    cells = group_cells(*mask)
    side = 1 + max(cell.row for cell in cells)
    text = "".join(SIGNS[cell.kind] for cell in cells)
    return [text[i : i + side] for i in range(0, side * side, side)]


def test_a_verdict_goes_by_the_corrected_p_value(document, pair):
    assert verdict(pair, names_of(document)) == "no difference shown"


def test_the_run_with_more_wins_is_the_better_one(document, pair):
    different = pair.model_copy(update={"p_adjusted": 0.049})
    assert verdict(different, names_of(document)) == "avg-5 is better than origin"
    other = different.model_copy(update={"wins": 21})
    assert verdict(other, names_of(document)) == "origin is better than avg-5"


def test_the_headline_names_the_runs_that_the_best_is_not_told_apart_from(document):
    assert headline(document, names_of(document)) == (
        "flex_attention_cross_manual-m2a3s5-shared has the highest accuracy, 50.0\xa0%, "
        "but is not told apart from origin, avg-5 and flex_attention-5."
    )


def test_the_headline_says_when_the_best_beats_all(document):
    different = [c.model_copy(update={"p_adjusted": 0.01}) for c in document.comparisons]
    clear = document.model_copy(update={"comparisons": tuple(different)})
    ending = "50.0\xa0%, and is better than each run it is compared with."
    assert headline(clear, names_of(document)).endswith(ending)


def test_the_headline_of_one_run_compares_nothing(document):
    alone = document.model_copy(update={"runs": document.runs[:1], "comparisons": ()})
    assert headline(alone, names_of(document)) == "origin has an accuracy of 46.7\xa0%."


def test_runs_of_different_models_keep_the_name_of_the_model():
    assert short_names(["q/m1/avg-5", "q/m2/avg-5"]) == {
        "q/m1/avg-5": "m1/avg-5", "q/m2/avg-5": "m2/avg-5"
    }  # fmt: skip


def test_isolated_paraphrases_see_the_prefix_and_themselves():
    assert drawn("isolated", 3, 0) == ["\\....", "#\\...", "#.\\..", "#..\\.", "####\\"]


def test_manual_paraphrases_see_the_manual_ones_before_them():
    assert drawn("cross_manual", 3, 2) == ["\\....", "#\\...", "##\\..", "#..\\.", "####\\"]


def test_without_isolation_all_that_came_before_is_seen():
    assert drawn("causal", 2, 0) == ["\\...", "#\\..", "##\\.", "###\\"]


def test_runs_with_the_same_mask_share_a_picture(document):
    pictures = mask_pictures(document.runs)
    assert [picture.runs for picture in pictures] == [
        (FOLDER + "origin", FOLDER + "avg-5", FOLDER + "per_prompt-5"),
        (FOLDER + "flex_attention-5",),
        (FOLDER + "flex_attention_cross_manual-m2a3s5-shared",),
    ]


def test_a_picture_says_in_words_who_sees_whom(document):
    words = mask_pictures(document.runs)[2].words
    assert "; paraphrase 1 sees prefix, paraphrase 0 and itself; " in words
    assert "; paraphrase 2 sees prefix and itself; " in words


def run_of(document, method, name, **changes):
    fields = {"method": method, "run": FOLDER + name, "num_paraphrases": 5, "layout": "concat"}
    return document.runs[0].model_copy(update=fields | {"positions": "sequential"} | changes)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_picture(document, method):
    run = run_of(document, method, f"{method}-5")
    (picture,) = mask_pictures([run])
    assert len(picture.labels) == (7 if METHODS[method].has_layout else 3)
    assert len(picture.cells) == len(picture.labels) ** 2


def test_one_paraphrase_alone_is_the_plain_prompt(document):
    (picture,) = mask_pictures([run_of(document, "flex_attention", "x", num_paraphrases=1)])
    assert picture.title == "plain prompt"


def test_how_many_manual_paraphrases_are_drawn_is_said(document):
    method = "flex_attention_cross_manual"
    (named,) = mask_pictures([run_of(document, method, f"{method}-m3a2s5")])
    assert "Drawn for 3 manual paraphrases" in named.caption
    (unnamed,) = mask_pictures([run_of(document, method, f"{method}-5")])
    assert "as an example in which the first 2 paraphrases are manual" in unnamed.caption


def test_the_length_correction_is_said(document):
    (picture,) = mask_pictures([run_of(document, "flex_attention_length_corrected", "x")])
    assert "weighs paraphrases alike" in picture.caption
    assert picture.title.endswith("length-corrected")


def test_many_groups_fit_into_the_same_space_with_fewer_labels(document):
    (picture,) = mask_pictures([run_of(document, "flex_attention", "x", num_paraphrases=64)])
    assert picture.cell * len(picture.labels) == pytest.approx(240)
    assert len(picture.labels) / picture.label_step <= 12

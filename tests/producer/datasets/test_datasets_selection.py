"""producer.datasets.selection: manual paraphrases as they stand, then some by uuid; nested."""

import hashlib
import random
import subprocess
import sys
from collections import Counter

import pytest

from common.errors import UsageError
from common.records import Sample
from producer.datasets.selection import Selection

MANUAL = tuple(f"manual {i}" for i in range(5))
AUTO = tuple(f"auto {i}" for i in range(11))


def test_manual_paraphrases_come_first_and_their_number_is_told():
    paraphrases, manual = Selection(3, 4).choose("u", MANUAL, AUTO)
    assert manual == 3
    assert paraphrases[:3] == MANUAL[:3]
    assert set(paraphrases[3:]) < set(AUTO)
    assert len(set(paraphrases)) == 7


@pytest.mark.parametrize("uuid", ["u-1", "5d09424876ba7f4-15e8746c51e1d4c", "ö", ""])
def test_fewer_paraphrases_are_the_beginning_of_more(uuid):
    most, _ = Selection(5, 11).choose(uuid, MANUAL, AUTO)
    for m in range(6):
        for a in range(12):
            if m + a:
                paraphrases, _ = Selection(m, a).choose(uuid, MANUAL, AUTO)
                assert paraphrases == most[:m] + most[5 : 5 + a]


@pytest.mark.parametrize("uuid", ["u-1", "5d09424876ba7f4-15e8746c51e1d4c", "ö", ""])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_paraphrase_0_is_the_first_manual_one_and_manual_ones_keep_their_order(uuid, number):
    """Whatever the uuid: otherwise `origin` would ask another question in each run of a study."""
    paraphrases, _ = Selection(number, 3).choose(uuid, MANUAL, AUTO)
    assert paraphrases[0] == "manual 0"
    assert paraphrases[:number] == MANUAL[:number]


def test_automatic_paraphrases_depend_on_nothing_but_the_uuid():
    first, _ = Selection(0, 5).choose("u", MANUAL, AUTO)
    again, _ = Selection(2, 5).choose("u", MANUAL[:3], AUTO)
    assert again[2:] == first
    other, _ = Selection(0, 5).choose("v", MANUAL, AUTO)
    assert other != first


def test_a_choice_made_by_hand_comes_out_the_same():
    """The rule of the docstring, spelt once more."""
    digest = hashlib.sha256(b"u-7/auto").digest()
    generator = random.Random(int.from_bytes(digest[:8], "big"))
    order = list(range(11))
    for last in range(10, 0, -1):
        other = int(generator.random() * (last + 1))
        order[last], order[other] = order[other], order[last]
    paraphrases, _ = Selection(0, 11).choose("u-7", MANUAL, AUTO)
    assert paraphrases == tuple(f"auto {i}" for i in order)


def test_another_interpreter_with_another_hash_seed_draws_the_same():
    code = (
        "from producer.datasets.selection import Selection\n"
        f"print(*Selection(2, 3).choose('u', {MANUAL}, {AUTO})[0], sep=',')"
    )
    expected = ",".join(Selection(2, 3).choose("u", MANUAL, AUTO)[0])
    for seed in ("1", "2"):
        process = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        )  # fmt: skip
        assert process.stdout.strip() == expected


def test_every_automatic_paraphrase_is_as_likely_to_be_first():
    """Five of 2,000 uuids each: 400 expected, standard deviation 18; five of them are allowed."""
    first = Counter(Selection(0, 1).choose(f"u{i}", (), AUTO[:5])[0][0] for i in range(2000))
    assert all(abs(first[text] - 400) < 90 for text in AUTO[:5])


@pytest.mark.parametrize(("manual", "auto"), [(0, 3), (2, 0), (7, 20)])
def test_what_there_is_is_taken_where_there_is_less(manual, auto):
    paraphrases, number = Selection(manual, auto).choose("u", MANUAL[:2], AUTO[:3])
    assert number == min(manual, 2)
    assert len(paraphrases) == min(manual, 2) + min(auto, 3)


@pytest.mark.parametrize(("manual", "auto"), [(0, 0), (-1, 3), (3, -1), (40, 25)])
def test_none_too_many_and_negative_numbers_are_refused_with_both(manual, auto):
    with pytest.raises(UsageError, match=f"--num-manual {manual} and --num-auto {auto} "):
        Selection(manual, auto)


def test_a_sample_of_two_kinds_keeps_what_is_chosen_and_its_uuid():
    sample = Sample(("m", "a", "m"), ("x",), num_manual=1)
    chosen = Selection(0, 1).apply(sample)
    assert (len(chosen.paraphrases), chosen.num_manual) == (1, 0)
    assert (chosen.uuid, chosen.answers) == (sample.uuid, ("x",))
    assert Selection(5, 5).apply(sample).num_manual == 1


def test_a_sample_that_does_not_tell_its_manual_paraphrases_is_left_as_it_is():
    sample = Sample(("q?", "p?"), ("x",))
    assert Selection(1, 0).apply(sample) == sample

"""A paraphrase that comes twice counts twice; repeats exist, because bad paraphrases are kept."""

from itertools import product

import pytest
import torch

from common.methods import METHODS
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import SAMPLES, make_request
from worker.engine.attention.flex import FlexBackend

LAYOUTS = list(product(["concat", "shared"], ["sequential", "aligned"]))
FUSED = [name for name, method in METHODS.items() if method.sequences == "fused"]
TWICE = ("what is 7?", "what is 7?", "is it?")
THRICE = ("who wrote it?", "is it 7?", "who wrote it?", "who wrote it?")


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
@pytest.mark.parametrize("method", FUSED)
def test_equal_paraphrases_equal_the_reference(
    make_engine, tokenizers, compare, bos, layout, positions, method
):
    request = make_request(method, layout=layout, positions=positions, num_paraphrases=4)
    compare(make_engine("llama", bos), tokenizers[bos], [TWICE, THRICE], request)


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
@pytest.mark.parametrize("method", FUSED)
def test_one_paraphrase_alone_equals_the_reference(
    make_engine, tokenizers, compare, bos, layout, positions, method
):
    request = make_request(method, layout=layout, positions=positions)
    compare(make_engine("qwen2", bos), tokenizers[bos], [s[:1] for s in SAMPLES], request)


def test_a_repeated_paraphrase_weighs_more_than_one_that_is_there_once(make_engine, recorded):
    """The control: were it counted once, these would be one answer."""
    request = make_request("flex_attention", layout="shared", positions="aligned")
    engine = make_engine()
    answers_of(engine, [TWICE, TWICE[1:]], request)
    twice, once = recorded[0][0], recorded[1][0]
    assert (twice - once).abs().max() > 0.01


def test_equal_paraphrases_answer_alike_with_both_backends(make_engine, recorded):
    """A segment seen twice has a bias in prefill, which FlexAttention gets as a score_mod."""
    long = tuple(f"{'who wrote it and ' * 9}{i}?" for i in (1, 2, 2, 3))
    request = make_request(
        "flex_attention", layout="shared", positions="aligned", num_paraphrases=4, max_new_tokens=3
    )
    first = answers_of(make_engine("mistral"), [long], request)
    sdpa = torch.stack(recorded.pop(0))
    flex = answers_of(make_engine("mistral", engine={"backend": FlexBackend()}), [long], request)
    assert first[0]["flex_attention"][0].tokens == flex[0]["flex_attention"][0].tokens
    torch.testing.assert_close(torch.stack(recorded[0]), sdpa, atol=1e-4, rtol=0)

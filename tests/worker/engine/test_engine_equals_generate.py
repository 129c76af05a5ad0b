"""With one paraphrase the engine gives the tokens of transformers' greedy `generate`."""

from dataclasses import replace
from itertools import product

import torch

from common.layout import pack_plain
from common.methods import METHODS
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import MANY, known, make_request
from worker.engine.attention.flex import FlexBackend
from worker.model.tokenizer import PromptTokenizer

NEW_TOKENS = 11


def generate(model, tokenizer, paraphrase, request):
    """The tokens that `generate` adds to the plain prompt."""
    pieces = PromptTokenizer(tokenizer).cut(request.prompt_format, [paraphrase])
    ids = torch.tensor([pack_plain(pieces, 0).tokens])
    with torch.inference_mode():
        output = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=request.max_new_tokens,
            do_sample=False,
        )
    return tuple(output[0, ids.shape[1] :].tolist())


def test_every_method_over_one_paraphrase_equals_generate(
    make_engine, tokenizers, plain_copy, family, bos
):
    engine = make_engine(family, bos)
    model = plain_copy(engine.model)
    request = make_request(*METHODS, num_paraphrases=1, max_new_tokens=NEW_TOKENS)
    questions = [known(sample) for sample in MANY]
    wanted = [generate(model, tokenizers[bos], sample[0], request) for sample in MANY]
    for layout, positions in product(["concat", "shared"], ["sequential", "aligned"]):
        request = replace(request, layout=layout, positions=positions)
        for answer, tokens in zip(answers_of(engine, questions, request), wanted, strict=True):
            for method in METHODS:
                (got,) = answer[method]
                assert got.tokens == tokens[: len(got.tokens)]
                assert got.finish_reason != "length" or len(got.tokens) == NEW_TOKENS


def test_each_sequence_of_per_prompt_equals_generate(make_engine, tokenizers, plain_copy, bos):
    request = make_request("per_prompt", max_new_tokens=NEW_TOKENS)
    engine = make_engine("mistral", bos, engine={"backend": FlexBackend()})
    model = plain_copy(engine.model)
    for paraphrases, answer in zip(MANY, answers_of(engine, MANY, request), strict=True):
        for paraphrase, got in zip(paraphrases, answer["per_prompt"], strict=True):
            wanted = generate(model, tokenizers[bos], paraphrase, request)
            assert got.tokens == wanted[: len(got.tokens)]


def test_greedy_answers_of_the_tiny_models_vary(make_engine, family):
    """If answers were equal, the tests above would compare nothing."""
    request = make_request("origin", max_new_tokens=NEW_TOKENS)
    answers = answers_of(make_engine(family), MANY, request)
    tokens = {answer["origin"][0].tokens for answer in answers}
    assert len(tokens) >= 5
    assert all(len(set(answer)) > 2 for answer in tokens)

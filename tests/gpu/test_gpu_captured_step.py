"""A decode step captured as a CUDA graph gives the same logits as the eager step."""

import torch

from benchmarks.gpu_day.stages.step import SteppingEngine, captured, repeatable_step
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import MANY, make_request
from worker.engine.attention.cascade_prefill import CASCADE


def at_first_step(tiny_model, tokenizer, device, look):
    """Call `look(model, batch)` on the first batch that an engine decodes."""
    engine = SteppingEngine(tiny_model().to(device), tokenizer, CASCADE)
    engine.on_batch = lambda batch: look(engine.model, batch)
    answers_of(engine, MANY, make_request("per_prompt"))
    assert engine.on_batch is None


def test_a_step_can_be_done_again_and_leaves_the_batch_as_it_was(device, tiny_model, tokenizer):
    def look(model, batch):
        step, positions = repeatable_step(model, batch), batch.positions.clone()
        filled = [row_group.filled for row_group in batch.row_groups]
        assert torch.equal(step(), step())
        assert torch.equal(batch.positions, positions)
        assert [row_group.filled for row_group in batch.row_groups] == filled
        assert torch.equal(step(), batch.logits(model))

    at_first_step(tiny_model, tokenizer, device, look)


def test_a_replayed_graph_gives_the_logits_of_the_tokens_that_are_in_its_buffer(
    cuda, tiny_model, tokenizer
):
    def look(model, batch):
        step = repeatable_step(model, batch)
        first = step().clone()
        graph, logits = captured(step)
        graph.replay()
        torch.testing.assert_close(logits, first, atol=1e-4, rtol=0)
        batch.tokens.copy_(batch.tokens.flip(0))
        second = step().clone()
        graph.replay()
        torch.testing.assert_close(logits, second, atol=1e-4, rtol=0)
        assert not torch.allclose(first, second)
        batch.tokens.copy_(batch.tokens.flip(0))

    at_first_step(tiny_model, tokenizer, cuda, look)

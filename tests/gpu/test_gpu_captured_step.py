"""A decode step captured as a CUDA graph gives the same logits as the eager step."""

import torch

from benchmarks.gpu_day.stages.step import SteppingEngine, captured, repeatable_step
from tests.worker.engine.families import MANY, make_request
from worker.engine.attention.cascade_prefill import CASCADE


def at_first_step(tiny_model, tokenizer, device, look):
    """Call `look(runner, bucket)` on the first bucket that an engine decodes."""
    engine = SteppingEngine(tiny_model().to(device), tokenizer, CASCADE)
    engine.on_bucket = lambda bucket: look(engine.runner, bucket)
    engine.run(MANY, make_request("per_prompt"))
    assert engine.on_bucket is None


def test_a_step_can_be_done_again_and_leaves_the_bucket_as_it_was(device, tiny_model, tokenizer):
    def look(runner, bucket):
        step, positions = repeatable_step(runner, bucket), bucket.positions.clone()
        filled = [row_group.filled for row_group in bucket.row_groups]
        assert torch.equal(step(), step())
        assert torch.equal(bucket.positions, positions)
        assert [row_group.filled for row_group in bucket.row_groups] == filled
        assert torch.equal(step(), runner.logits(bucket))

    at_first_step(tiny_model, tokenizer, device, look)


def test_a_replayed_graph_gives_the_logits_of_the_tokens_that_are_in_its_buffer(
    cuda, tiny_model, tokenizer
):
    def look(runner, bucket):
        step = repeatable_step(runner, bucket)
        first = step().clone()
        graph, logits = captured(step)
        graph.replay()
        torch.testing.assert_close(logits, first, atol=1e-4, rtol=0)
        bucket.tokens.copy_(bucket.tokens.flip(0))
        second = step().clone()
        graph.replay()
        torch.testing.assert_close(logits, second, atol=1e-4, rtol=0)
        assert not torch.allclose(first, second)
        bucket.tokens.copy_(bucket.tokens.flip(0))

    at_first_step(tiny_model, tokenizer, cuda, look)

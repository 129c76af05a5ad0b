"""Beyond greedy: what a checkpoint's generation configuration asks for and decoding leaves out.

Answers are greedy, or drawn as the run says, so `do_sample`, `temperature`, `top_p` and the like
are passed over without a word. What is named here changes a greedy answer in `generate`.
"""

from typing import Any

from transformers import PreTrainedModel

from worker.model.resolved_setting import ResolvedSetting

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "repetition_penalty": (1,),
    "no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1,),
    "encoder_no_repeat_ngram_size": (0,),
    "suppress_tokens": ([],),
    "begin_suppress_tokens": ([],),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "forced_decoder_ids": ([],),
    "bad_words_ids": ([],),
    "sequence_bias": ({}, []),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "exponential_decay_length_penalty": (),
    "stop_strings": ([], ""),
    "num_beams": (1,),
    "num_beam_groups": (1,),
    "penalty_alpha": (0,),
    "dola_layers": (),
    "guidance_scale": (1,),
    "watermarking_config": (),
    "token_healing": (False,),
}
"""Settings of `GenerationConfig` that change a greedy answer, with the values that do not.

None is neutral for all."""


def asked_beyond_greedy(model: PreTrainedModel) -> dict[str, ResolvedSetting]:
    """A note of the settings that are not applied; empty for a plain checkpoint."""
    config = model.generation_config
    settings = {name: getattr(config, name, None) for name in NEUTRAL}
    asked = [
        f"{name}={_short(value)}"
        for name, value in settings.items()
        if value is not None and value not in NEUTRAL[name]
    ]
    if not asked:
        return {}
    return {
        "generation": ResolvedSetting(
            "greedy", f"not applied of the checkpoint: {', '.join(asked)}"
        )
    }


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

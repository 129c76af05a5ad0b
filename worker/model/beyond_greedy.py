"""Beyond greedy: settings of a checkpoint's generation configuration that are not applied.

Answers are greedy, or drawn as the run's spec says, so `do_sample`, `temperature`, `top_p` and
the like are ignored silently. The settings named here would change a greedy answer in `generate`.
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
"""Settings of `GenerationConfig` that change a greedy answer -> the values that do not.

None is neutral for every setting."""


def unapplied_settings(model: PreTrainedModel) -> dict[str, ResolvedSetting]:
    """A note `generation` that lists the unapplied settings; empty if there are none."""
    config = model.generation_config
    settings = {name: getattr(config, name, None) for name in NEUTRAL}
    unapplied = [
        f"{name}={_short(value)}"
        for name, value in settings.items()
        if value is not None and value not in NEUTRAL[name]
    ]
    if not unapplied:
        return {}
    reason = f"not applied of the checkpoint: {', '.join(unapplied)}"
    return {"generation": ResolvedSetting("greedy", reason)}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

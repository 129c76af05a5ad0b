"""The commands enqueue, run, paraphrase and confidence: put work on the queue, or do it here."""

from typing import TYPE_CHECKING, Any

import click

from producer.commands.shared import console, exit_past, print_line, settings_from
from producer.options import (
    METHODS_HELP,
    PROMPT_FILE_HELP,
    confidence_options,
    paraphrase_options,
    request_options,
    store_option,
    waiting_options,
)

if TYPE_CHECKING:
    from producer.request import RunRequest


_EPILOG = f"{METHODS_HELP}\n\n{PROMPT_FILE_HELP}"


@click.command(epilog=_EPILOG)
@request_options
@store_option
@waiting_options
def enqueue(**options: Any) -> None:
    """Put a data set on the queue, in shards; one run for each method.

    Sends only what the store does not hold yet, so it is also how an interrupted run goes on.
    Where the questions have no paraphrases the model writes them first, and where a method
    needs confidences they are found first; the requested runs then start by themselves.

    \b
    Example:
        producer enqueue --dataset webqa --data questions.jsonl --few-shot train.jsonl \\
            --model llama3.2_3b_it --method flex_attention --method avg --wait
    """
    _enqueue(**options)


@click.command(epilog=_EPILOG)
@request_options
@store_option
def run(store: str | None, failure_limit: float, **options: Any) -> None:
    """Do a whole job on this machine: server, worker, queue, merge, summary.

    Brings its own Redis-compatible server and worker and leaves no process behind. Ctrl-C
    keeps what is done; the same command goes on from there.

    \b
    Example:
        producer run --dataset webqa_mini --model smollm2_135m_it \\
            --method origin --method flex_attention --num-paraphrases 6
    """
    _run_here(_request(options), store, failure_limit)


@click.command()
@paraphrase_options
@store_option
@waiting_options
def paraphrase(**options: Any) -> None:
    """Have the model write the paraphrases of a question set, as a run of its own.

    `enqueue` does this by itself where paraphrases are missing; alone it is for choosing how
    they are drawn, or for giving one model's paraphrases to others (`--paraphrases`).

    \b
    Example:
        producer paraphrase --dataset webqa --data questions.jsonl --model llama3.2_3b_it --wait
    """
    _enqueue(**options, step="paraphrases")


@click.command()
@confidence_options
@store_option
@waiting_options
def confidence(**options: Any) -> None:
    """Find how sure the model is of each paraphrase, for the weighted methods.

    The confidence of a paraphrase is the share of drawn answers that equal the greedy one, as
    votes compare answers. `enqueue` does this by itself for the methods that need it.

    \b
    Example:
        producer confidence --dataset webqa_mini --model smollm2_135m_it --num-draws 100 --local
    """
    _enqueue(**options, step="confidence")


COMMANDS = (enqueue, run, paraphrase, confidence)


def _enqueue(
    *,
    store: str | None,
    broker: str | None,
    wait: bool,
    local: bool,
    failure_limit: float,
    **options: Any,
) -> None:
    from producer.session import Session

    request = _request(options)
    if local:
        _run_here(request, store, failure_limit)
        return
    session = Session.prepare(settings_from(store, broker), request, console())
    session.enqueue()
    if wait:
        session.wait()
        exit_past(failure_limit, session.all_runs())
    else:
        session.print_listeners()


def _run_here(request: "RunRequest", store: str | None, failure_limit: float) -> None:
    from producer.local import embedded_broker, local_worker, logs_kept_on_failure
    from producer.session import Session

    with embedded_broker() as url, logs_kept_on_failure(_print_error) as logs:
        # Its queue ends with it, and whoever interrupts it wants no other worker to go on.
        settings = settings_from(store, url).model_copy(update={"reconcile": False})
        session = Session.prepare(settings, request, console())
        if session.enqueue():
            warm = {
                "warm_model": request.model,
                "warm_revision": request.revision,
                "warm_dtype": request.dtype,
                "warm_samples": session.num_samples,
            }
            settings = settings.model_copy(update=warm)
            with local_worker(settings, logs / "worker.log") as check_worker:
                session.wait(check_worker)
        session.print_summary()
        exit_past(failure_limit, session.all_runs())


def _print_error(text: str) -> None:
    print_line(text, err=True)


def _request(options: dict[str, Any]) -> "RunRequest":
    from producer.request import RunRequest

    return RunRequest(**options)

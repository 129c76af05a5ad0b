"""The pin of a run: the weights and the prompt tokens that its first worker computed with.

Workers of one run must not differ in either. The identity covers the files of a model, and so its
tokenizer and chat template; another release of transformers may still make other tokens of them.
"""

import json
from dataclasses import asdict, dataclass, field

from common.errors import StopRun, UsageError, first_line
from common.model_files import Stamp


@dataclass(frozen=True)
class Pin:
    """Weights and prompt tokens, in which the workers of a run must agree.

    identity: of the weights. files: those of a local model, which a producer compares without
    hashing them. prompts: a digest of what the worker makes of the run's prompts; None if it is
    not known.
    """

    identity: str
    files: Stamp = field(default_factory=dict)
    prompts: str | None = None

    @classmethod
    def decode(cls, content: bytes, path: str) -> "Pin":
        """Read a pin. path: where it is, for the message. Raises UsageError if it is damaged."""
        try:
            fields = json.loads(content)
            files = fields.get("files", {})
            files = {name: (size, changed) for name, (size, changed) in files.items()}
            return cls(str(fields["identity"]), files, fields.get("prompts"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(
                f"{path} does not tell the weights that the run was begun with "
                f"({first_line(error)}); delete it if all workers have the same weights, else "
                "enqueue with --overwrite"
            ) from None

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    def refuse_other(self, other: "Pin", run: str) -> None:
        """Raise StopRun if a worker's pin differs from this one of the run."""
        if self.identity != other.identity:
            raise StopRun(
                f"run {run} was begun with the weights {self.identity}, this worker "
                f"holds {other.identity}; give it the same weights, or enqueue with --overwrite"
            )
        if self.prompts and other.prompts and self.prompts != other.prompts:
            raise StopRun(
                f"run {run} was begun with prompts of the tokens {self.prompts[:12]}, this worker "
                f"makes {other.prompts[:12]} of them from equal files of the model; install the "
                "same releases of transformers and tokenizers on all workers, or enqueue with "
                "--overwrite"
            )

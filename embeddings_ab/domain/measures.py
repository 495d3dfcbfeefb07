"""Names of retrieval measures: read, checked and written in one canonical form, without loading a number library."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from governance.domain.errors import InvalidInput

MAX_CUTOFF = 1000

FAMILIES = {
    "nDCG": "normalised discounted cumulative gain, linear gain",
    "nDCG-exp": "the same with gain 2^grade - 1",
    "nDCG'": "the same with linear gain over judged documents only",
    "R": "recall: relevant documents found / relevant documents",
    "R-cap": "relevant documents found / min(k, relevant documents)",
    "Hit": "1 when any relevant document is found",
    "MRR": "1 / rank of the first relevant document",
    "AP": "average precision",
    "P": "relevant documents found / k",
    "Judged": "judged documents / documents shown",
}
_WITHOUT_CUTOFF = frozenset({"AP", "MRR"})
_ALIASES = {
    "ndcg": "nDCG",
    "ndcg-lin": "nDCG",
    "ndcg-exp": "nDCG-exp",
    "ndcg'": "nDCG'",
    "ndcg-judged": "nDCG'",
    "r": "R",
    "recall": "R",
    "r-cap": "R-cap",
    "recall-cap": "R-cap",
    "hit": "Hit",
    "hits": "Hit",
    "hit-rate": "Hit",
    "success": "Hit",
    "mrr": "MRR",
    "rr": "MRR",
    "recip-rank": "MRR",
    "ap": "AP",
    "map": "AP",
    "p": "P",
    "precision": "P",
    "judged": "Judged",
}
_FORM = re.compile(r"(?P<family>[A-Za-z][A-Za-z_' -]*?)\s*(?:@\s*(?P<cutoff>[0-9]+))?")


@dataclass(frozen=True, order=True)
class Measure:
    """One measure: a key of FAMILIES and a cutoff, None for the whole list. `str()` is its canonical name."""

    family: str
    cutoff: int | None = None

    def __str__(self) -> str:
        return self.family if self.cutoff is None else f"{self.family}@{self.cutoff}"


def parse_measure(text: str, *, field: str = "metrics") -> Measure:
    """Read one name, such as "nDCG@10", "recall@100" or "MAP".

    Letter case and aliases are forgiven, anything else is not: a measure nobody knows must never score.
    Raises InvalidInput with `field`, `value` and a `remedy` that lists what exists.
    """
    read = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
    key = re.sub(r"[_ ]", "-", read["family"].lower()) if read else ""
    family = _ALIASES.get(key)
    if read is None or family is None:
        guess = difflib.get_close_matches(key or str(text).lower(), _ALIASES, n=1, cutoff=0.6)
        hint = f"did you mean {_ALIASES[guess[0]]}? " if guess else ""
        raise _refusal(text, field, "unknown measure", hint + what_exists())
    if read["cutoff"] is None:
        if family not in _WITHOUT_CUTOFF:
            raise _refusal(text, field, "a cutoff is missing in", f"write {family}@10, for instance")
        return Measure(family)
    if len(read["cutoff"]) > 9 or not 1 <= int(read["cutoff"]) <= MAX_CUTOFF:
        raise _refusal(text, field, "the cutoff is out of range in", f"choose k from 1 to {MAX_CUTOFF}")
    return Measure(family, int(read["cutoff"]))


def parse_measures(texts: Iterable[str], *, field: str = "metrics") -> list[Measure]:
    """Read several names, in order. Raises InvalidInput for the first bad one and for two names of one measure."""
    found: list[Measure] = []
    for text in texts:
        measure = parse_measure(text, field=field)
        if measure in found:
            raise _refusal(text, field, f"{measure} is named a second time by", "name it once")
        found.append(measure)
    return found


def depth_needed(measures: Sequence[Measure]) -> int:
    """How many distinct documents a ranking must hold: the largest cutoff, MAX_CUTOFF for a measure without one.

    No measure at all needs no document: 0.
    """
    return max((MAX_CUTOFF if measure.cutoff is None else measure.cutoff for measure in measures), default=0)


def what_exists() -> str:
    """The names there are, for messages and help."""
    names = ", ".join(f"{family}@k" for family in FAMILIES)
    return f"there are {names} with k from 1 to {MAX_CUTOFF}, and AP and MRR over the whole list"


def _refusal(text: object, field: str, what: str, remedy: str) -> InvalidInput:
    return InvalidInput(f"Field {field!r}: {what} {text!r}; {remedy}.", field=field, value=text, remedy=remedy)

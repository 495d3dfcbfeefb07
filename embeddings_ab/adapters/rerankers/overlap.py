"""A deterministic reranker without a model: the query's words found in a text, weighted by rarity; for CI and demos."""

import math
import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"\w+")


class OverlapReranker:
    """Scores in [0, 1): sum over query words of idf x tf / (tf + 1), divided by the sum of idf.

    idf = ln(1 + (n - df + 0.5) / (df + 0.5)) over the n candidates at hand (the BM25 form), so a score compares texts
    of one query only.
    """

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """See Reranker. A query without words scores everything 0."""
        wanted = sorted(set(_WORD.findall(query.casefold())))
        counts = [Counter(_WORD.findall(text.casefold())) for text in texts]
        total = len(texts)
        rarity = {}
        for word in wanted:
            holders = sum(1 for count in counts if count[word])
            rarity[word] = math.log(1 + (total - holders + 0.5) / (holders + 0.5))
        whole = math.fsum(rarity.values())
        if not whole:
            return [0.0] * total
        return [
            math.fsum(rarity[word] * count[word] / (count[word] + 1) for word in wanted) / whole for count in counts
        ]

    def close(self) -> None:
        """Nothing to let go of."""

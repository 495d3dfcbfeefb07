"""The BERT encoder written out slowly in float64, formula by formula, to hold the fast one against."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def last_layer(
    tensors: Mapping[str, np.ndarray],
    config: Mapping[str, Any],
    ids: list[int],
    segments: list[int],
    *,
    prefix: str = "",
) -> np.ndarray:
    """Hidden states after the last layer, float64 (tokens, width)."""

    def tensor(name: str) -> np.ndarray:
        return np.asarray(tensors[prefix + name], dtype=np.float64)

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ tensor(f"{name}.weight").T + tensor(f"{name}.bias")

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        mean = x.mean(axis=1, keepdims=True)
        variance = ((x - mean) ** 2).mean(axis=1, keepdims=True)
        return (x - mean) / np.sqrt(variance + config["layer_norm_eps"]) * tensor(f"{name}.weight") + tensor(
            f"{name}.bias"
        )

    gelu = np.vectorize(lambda v: v * 0.5 * (1.0 + math.erf(v / math.sqrt(2.0))))
    heads = config["num_attention_heads"]
    size = config["hidden_size"] // heads
    x = (
        tensor("embeddings.word_embeddings.weight")[ids]
        + tensor("embeddings.position_embeddings.weight")[: len(ids)]
        + tensor("embeddings.token_type_embeddings.weight")[segments]
    )
    x = norm(x, "embeddings.LayerNorm")
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        queries, keys, values = (dense(x, f"{layer}.attention.self.{part}") for part in ("query", "key", "value"))
        context = np.empty_like(x)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = queries[:, part] @ keys[:, part].T / math.sqrt(size)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            context[:, part] = weights / weights.sum(axis=1, keepdims=True) @ values[:, part]
        x = norm(x + dense(context, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
        inner = gelu(dense(x, f"{layer}.intermediate.dense"))
        x = norm(x + dense(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    return x

"""The forward pass of a BERT encoder in numpy, one sequence at a time; the engine of MiniLM and of cross-encoders.

Architecture: Devlin et al. 2019, post-norm, exact GELU, mean pooling. One sequence at a time because a matrix product
over more rows may round differently: so a vector depends on its own text alone, bit for bit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

# Phi(x) - 1/2 = x P(x^2) / Q(x^2) on |x| <= 5.3, fitted by us (Lawson-weighted least squares, largest error 4.1e-9);
# outside, the value at the border differs from 0 or 1 by 5.8e-8. A test holds it against math.erf.
_BORDER = np.float32(5.3)
_P = tuple(
    np.float32(c)
    for c in (3.989422541e-01, 3.293584319e-02, 4.627997930e-03, 1.603352331e-04, 6.379075165e-06, 2.405029471e-08)
)
_Q = tuple(
    np.float32(c) for c in (1.0, 2.492241447e-01, 2.813886021e-02, 1.836575617e-03, 7.135260647e-05, 1.237169216e-06)
)
_HALF = np.float32(0.5)
_ROWS = 32  # of the GELU at a time: its buffers then stay in the cache of the core


@dataclass(frozen=True)
class Layer:
    """Weights of one layer, transposed to (in, out); queries are scaled by 1 / sqrt(head size) already."""

    qkv: Floats
    query_bias: Floats
    value_bias: Floats
    attention: Floats
    attention_bias: Floats
    attention_norm: tuple[Floats, Floats]
    inner: Floats
    inner_bias: Floats
    outer: Floats
    outer_bias: Floats
    outer_norm: tuple[Floats, Floats]


class BertEncoder:
    """Weights, shared by all threads. Read from tensors named as in the published checkpoints, after `prefix`.

    Raises ValueError for another architecture and KeyError for a missing tensor.
    """

    def __init__(self, tensors: Mapping[str, npt.NDArray[Any]], config: Mapping[str, Any], *, prefix: str = "") -> None:
        if (
            config.get("model_type") != "bert"
            or config.get("hidden_act") != "gelu"
            or config.get("position_embedding_type", "absolute") != "absolute"
        ):
            raise ValueError("only BERT with GELU and absolute positions is understood")
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        self.heads = int(config["num_attention_heads"])
        self.epsilon = np.float32(config["layer_norm_eps"])
        self.width = int(config["hidden_size"])
        self.inner_width = int(config["intermediate_size"])
        self.words = _read(tensors, "embeddings.word_embeddings.weight")
        segments = _read(tensors, "embeddings.token_type_embeddings.weight")
        # The first segment's vector stands in the positions already; the second one is added as a difference.
        self.positions = _read(tensors, "embeddings.position_embeddings.weight") + segments[0]
        self.second_segment = segments[1] - segments[0]
        self.norm = _norm(tensors, "embeddings.LayerNorm")
        self.layers = [
            self._layer(tensors, f"encoder.layer.{number}") for number in range(int(config["num_hidden_layers"]))
        ]

    def _layer(self, tensors: Mapping[str, npt.NDArray[Any]], name: str) -> Layer:
        scale = np.float32(1 / math.sqrt(self.width // self.heads))
        query, key, value = (
            _read(tensors, f"{name}.attention.self.{part}.weight") for part in ("query", "key", "value")
        )
        return Layer(
            qkv=np.ascontiguousarray(np.concatenate([query * scale, key, value]).T),
            query_bias=_read(tensors, f"{name}.attention.self.query.bias") * scale,
            # No key bias: it adds the same number to all scores of a query, which the softmax takes out again.
            value_bias=_read(tensors, f"{name}.attention.self.value.bias"),
            attention=np.ascontiguousarray(_read(tensors, f"{name}.attention.output.dense.weight").T),
            attention_bias=_read(tensors, f"{name}.attention.output.dense.bias"),
            attention_norm=_norm(tensors, f"{name}.attention.output.LayerNorm"),
            inner=np.ascontiguousarray(_read(tensors, f"{name}.intermediate.dense.weight").T),
            inner_bias=_read(tensors, f"{name}.intermediate.dense.bias"),
            outer=np.ascontiguousarray(_read(tensors, f"{name}.output.dense.weight").T),
            outer_bias=_read(tensors, f"{name}.output.dense.bias"),
            outer_norm=_norm(tensors, f"{name}.output.LayerNorm"),
        )


class Workspace:
    """Buffers of one thread for sequences up to `longest` tokens, and the pass through them."""

    def __init__(self, encoder: BertEncoder, longest: int) -> None:
        width, inner = encoder.width, encoder.inner_width
        self.encoder = encoder
        self._hidden = np.empty((longest, width), np.float32)
        self._sum = np.empty((longest, width), np.float32)
        self._square = np.empty((longest, width), np.float32)
        self._context = np.empty((longest, width), np.float32)
        self._qkv = np.empty((longest, 3 * width), np.float32)
        self._scores = np.empty(encoder.heads * longest * longest, np.float32)
        self._inner = np.empty((longest, inner), np.float32)
        self._gelu = np.empty((4, _ROWS, inner), np.float32)

    def mean_vector(self, ids: npt.NDArray[np.int64]) -> Floats:
        """Mean of the last layer over all tokens, float32 (width,). `ids`: tokens with both special ones."""
        mean: Floats = self.last_layer(ids).mean(axis=0)
        return mean

    def last_layer(self, ids: npt.NDArray[np.int64], *, second_from: int | None = None) -> Floats:
        """Float32 (len(ids), width), in a buffer that the next call writes over. `second_from`: start of segment 2."""
        encoder, n = self.encoder, len(ids)
        hidden = self._hidden[:n]
        np.take(encoder.words, ids, axis=0, out=hidden)
        hidden += encoder.positions[:n]
        if second_from is not None:
            hidden[second_from:] += encoder.second_segment
        self._normalise(hidden, encoder.norm)
        for layer in encoder.layers:
            self._attend(hidden, layer, n)
            inner = np.matmul(hidden, layer.inner, out=self._inner[:n])
            inner += layer.inner_bias
            self._activate(inner)
            added = np.matmul(inner, layer.outer, out=self._sum[:n])
            added += layer.outer_bias
            hidden += added
            self._normalise(hidden, layer.outer_norm)
        return hidden

    def _attend(self, hidden: Floats, layer: Layer, n: int) -> None:
        heads, width = self.encoder.heads, self.encoder.width
        size = width // heads
        qkv = np.matmul(hidden, layer.qkv, out=self._qkv[:n])
        qkv[:, :width] += layer.query_bias
        qkv[:, 2 * width :] += layer.value_bias
        split = qkv.reshape(n, 3, heads, size)
        queries, keys, values = (
            split[:, 0].transpose(1, 0, 2),
            split[:, 1].transpose(1, 2, 0),
            split[:, 2].transpose(1, 0, 2),
        )
        scores = self._scores[: heads * n * n].reshape(heads, n, n)
        np.matmul(queries, keys, out=scores)
        scores -= scores.max(axis=2, keepdims=True)
        np.exp(scores, out=scores)
        totals = scores.sum(axis=2)
        context = self._context[:n].reshape(n, heads, size)
        np.matmul(scores, values, out=context.transpose(1, 0, 2))
        context /= totals.T[:, :, None]
        added = np.matmul(self._context[:n], layer.attention, out=self._sum[:n])
        added += layer.attention_bias
        hidden += added
        self._normalise(hidden, layer.attention_norm)

    def _normalise(self, rows: Floats, norm: tuple[Floats, Floats]) -> None:
        """Layer norm in place, over the last axis, with the biased variance."""
        weight, bias = norm
        rows -= rows.mean(axis=1, keepdims=True)
        square = np.multiply(rows, rows, out=self._square[: len(rows)])
        deviation = square.mean(axis=1, keepdims=True)
        deviation += self.encoder.epsilon
        np.sqrt(deviation, out=deviation)
        rows /= deviation
        rows *= weight
        rows += bias

    def _activate(self, rows: Floats) -> None:
        """x Phi(x) in place."""
        for start in range(0, len(rows), _ROWS):
            x = rows[start : start + _ROWS]
            clipped, square, top, bottom = (buffer[: len(x)] for buffer in self._gelu)
            np.clip(x, -_BORDER, _BORDER, out=clipped)
            np.multiply(clipped, clipped, out=square)
            _polynomial(_P, square, top)
            _polynomial(_Q, square, bottom)
            np.divide(top, bottom, out=top)
            np.multiply(top, clipped, out=top)
            np.add(top, _HALF, out=top)
            np.multiply(x, top, out=x)


def _polynomial(coefficients: tuple[np.float32, ...], x: Floats, out: Floats) -> None:
    np.multiply(x, coefficients[-1], out=out)
    for coefficient in coefficients[-2:0:-1]:
        np.add(out, coefficient, out=out)
        np.multiply(out, x, out=out)
    np.add(out, coefficients[0], out=out)


def _read(tensors: Mapping[str, npt.NDArray[Any]], name: str) -> Floats:
    return np.ascontiguousarray(tensors[name], dtype=np.float32)


def _norm(tensors: Mapping[str, npt.NDArray[Any]], name: str) -> tuple[Floats, Floats]:
    return _read(tensors, f"{name}.weight"), _read(tensors, f"{name}.bias")

"""Storage of embeddings A/B testing."""

from embeddings_ab.models.ab_test import AbTest, Arm, CollectionUse, QueryResult, UploadedRun
from embeddings_ab.models.collection import Collection, CollectionKind, Embedding, EmbeddingSpace
from embeddings_ab.models.corpus import Corpus, Document
from embeddings_ab.models.judging import JudgingItem, JudgingPool, Label
from embeddings_ab.models.query_set import Judgment, JudgmentSource, Query, QuerySet
from embeddings_ab.models.tuning import Tuning

__all__ = [
    "AbTest",
    "Arm",
    "Collection",
    "CollectionKind",
    "CollectionUse",
    "Corpus",
    "Document",
    "Embedding",
    "EmbeddingSpace",
    "JudgingItem",
    "JudgingPool",
    "Judgment",
    "JudgmentSource",
    "Label",
    "Query",
    "QueryResult",
    "QuerySet",
    "Tuning",
    "UploadedRun",
]

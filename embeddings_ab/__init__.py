"""Embeddings A/B testing: corpora, arms, retrieval measures."""

"""Providers, indexes and rerankers: what talks to the outside or to heavy libraries."""

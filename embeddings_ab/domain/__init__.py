"""Pure decisions and numbers of embeddings A/B testing; no Django."""

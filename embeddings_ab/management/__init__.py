"""Management of A/B tests."""

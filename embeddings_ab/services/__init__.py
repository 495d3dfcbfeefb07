"""Use cases that write."""

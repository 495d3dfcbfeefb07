"""Reads, always from the caller's project."""

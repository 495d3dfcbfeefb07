"""Experiments: datasets, runs, events, results, comparison. Imports nothing at module level."""

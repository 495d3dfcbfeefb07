"""Worked examples of hhweb; importable so that the tests can reach them."""

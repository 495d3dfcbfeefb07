"""Composition root: wires the three apps into processes and decides nothing. Importing it imports nothing."""

__version__ = "0.1.0"

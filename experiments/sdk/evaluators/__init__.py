"""Evaluators: definition and settings, registry, binding of arguments, and what a returned value means."""

"""Use cases that write. Keyword-only, know their caller, audit in the same transaction."""

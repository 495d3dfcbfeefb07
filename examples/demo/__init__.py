"""The demo: facts read out of short business messages, two variants, one comparison."""

"""Reading corpora, query sets and runs from files and bodies: parsers that stream, and the checks behind them all."""

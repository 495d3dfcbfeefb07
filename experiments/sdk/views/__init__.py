"""What tables of results and comparisons say, and how notebooks show them; terminals see rendering.py."""

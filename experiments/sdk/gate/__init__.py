"""Whether a run is good enough, decided on the server's figures, and how CI is told."""

"""How an experiment runs: bound, created, executed, cached, watched, ended; evaluate() is its front."""

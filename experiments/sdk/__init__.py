"""Our own SDK: imports no Django, no numpy and nothing of the server. Its public names stand in `experiments`."""

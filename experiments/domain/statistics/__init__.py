"""Statistics of paired comparisons: numpy and scipy in, plain numbers and verdicts out; loaded by jobs that compute."""

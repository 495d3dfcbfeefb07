"""What the pytest plugin does once a test carries its mark: marks, the datapoint of a test, recording of the runs."""

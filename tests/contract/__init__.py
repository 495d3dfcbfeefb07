"""The official client, unmodified, against the real server processes."""

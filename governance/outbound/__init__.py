"""Everything that leaves the house: the guarded HTTP client, its limits over processes, and sealed secrets."""

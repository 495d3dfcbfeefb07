"""Policy: projects, members, API keys, quotas, audit. Knows no product; every product calls it."""

"""The servers of the embedded default: PostgreSQL and Redis out of pip wheels. No Django in here."""

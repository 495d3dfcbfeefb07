"""The embedded default: what `hhweb up` runs on a laptop. Secrets and addresses come from the launcher."""

from hhweb.settings.base import *  # noqa: F403

ALLOWED_HOSTS = ["*"]

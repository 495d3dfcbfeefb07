"""The version of this distribution, as client and server tell each other: the SDK's one look at the package above it."""

from hhweb import __version__

VERSION = __version__

"""The version of this distribution, which client and server tell each other: the SDK's only look at `hhweb`."""

from hhweb import __version__

VERSION = __version__

"""Gunicorn in production: `gunicorn --config deploy/gunicorn.conf.py`.

The settings are those that `hhweb up` runs and the benchmarks measure; change here what your machines need.
How many processes and threads run is set by HHWEB_WEB_PROCESSES and HHWEB_WEB_THREADS.
"""

from hhweb.web_server import *  # noqa: F403

bind = "0.0.0.0:8000"
forwarded_allow_ips = "127.0.0.1,::1"  # the proxy's address, if it runs elsewhere

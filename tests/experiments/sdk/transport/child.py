"""A client process for tests that kill it: puts datapoints and says after each that it is on disk.

python -m tests.experiments.sdk.transport.child URL SPOOL_FOLDER COUNT
"""

import sys
import time
from pathlib import Path

from experiments.sdk.transport.delivery import Delivery
from experiments.sdk.transport.spool import Spool
from tests.experiments.sdk.transport.samples import HEADER, RUN, client_of, finished


def main() -> None:
    """Run until killed."""
    url, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    client = client_of(url)
    run_spool = Spool(folder).open_run(RUN, {"server_url": url, **HEADER})
    delivery = Delivery(client, run_spool, batch_datapoints=8, linger_seconds=0.005)
    delivery.start()
    for number in range(count):
        delivery.put(finished(number))
        print(number, flush=True)
    while True:
        time.sleep(60.0)


if __name__ == "__main__":
    main()

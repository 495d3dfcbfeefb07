"""Run by test_limiter in processes of its own: takes slots, notes on Redis how many are inside at once.

Arguments: Redis URL, limit, threads, rounds. Prints the most that were ever seen inside.
"""

import sys
import threading
import time

import redis
from django.conf import settings

url, limit, threads, rounds = sys.argv[1], *map(int, sys.argv[2:])
settings.configure(REDIS_URL=url)

from governance.outbound import limiter  # noqa: E402

counter = redis.Redis.from_url(url)
most: list[int] = []


def work() -> None:
    for _ in range(rounds):
        with limiter.slot(project_id=1, provider="openai", limit=limit, lease_seconds=60, wait_seconds=120):
            most.append(int(counter.incr("inside")))
            time.sleep(0.002)
            counter.decr("inside")


workers = [threading.Thread(target=work) for _ in range(threads)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(max(most), len(most))

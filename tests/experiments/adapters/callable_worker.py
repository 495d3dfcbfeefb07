"""A worker of its own that calls a registered callable and never gets an answer; killed by the tests."""

import sys
from pathlib import Path

from experiments.adapters.targets.registered_callable import RegisteredCallable
from experiments.domain.calls import Case

name, place = sys.argv[1], Path(sys.argv[2])
quick = RegisteredCallable("process", "tests.experiments.adapters.registered:process", {})
pid = quick.call(Case("d"), deadline_seconds=60).outputs
place.write_text(str(pid))
target = RegisteredCallable(name, f"tests.experiments.adapters.registered:{name}", {})
target.call(Case("d", {"file": str(place)}), deadline_seconds=600)

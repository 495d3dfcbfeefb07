"""One import from start to end: read, send, ask the server, compare."""

from collections.abc import Callable
from pathlib import Path

from experiments.sdk.importers import read_export
from experiments.sdk.importers.files import export_files
from experiments.sdk.importers.ledger import Ledger
from experiments.sdk.importers.reconciliation import Reconciliation, reconcile
from experiments.sdk.importers.sending import Sender
from experiments.sdk.importers.telling import check_tool
from experiments.sdk.transport.client import Client


def import_export(
    client: Client | None,
    tool: str,
    path: Path,
    *,
    name: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Reconciliation:
    """Import the export files of `tool` at `path` (a file or a folder) and say what the server has of them.

    Without a client it is a dry run. `on_progress` is told the number of events sent so far. Importing again sends
    nothing twice. Raises ConfigurationError for files that are no export, ServerError when the server is out of reach.
    """
    files = export_files(path)
    check_tool(tool, files)
    title = name or path.name.partition(".")[0] or tool
    with Ledger() as ledger:
        sender = Sender(client, tool, ledger)
        sender.send(read_export(tool, files, name=title), on_progress)
        return reconcile(client, tool, ledger, bad=sender.bad, span=sender.span)

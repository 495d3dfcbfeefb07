"""Lines of text files as they come: gzip by content, UTF-8 with or without a byte order mark, flat memory.

The name says nothing: a `.gz` that was unpacked by a browser and a packed file without the suffix both read.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.rows import Place
from governance.domain.errors import InvalidInput, NotFound

Source = Path | bytes
LINE_LIMIT = 16 * 1024 * 1024
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


def text_lines(source: Source, faults: Faults, *, name: str = "") -> Iterator[tuple[Place, str]]:
    """Lines with their line ends and places, numbered from 1. `name` is shown in faults (default: the file's name).

    Lines that are no UTF-8 or longer than 16 MiB are noted and left out. A file that is not there is `NotFound`,
    one that cannot be read or unpacked `InvalidInput`.
    """
    shown = name or (source.name if isinstance(source, Path) else "input")
    number = 0
    with ExitStack() as stack:
        stream = _opened(source, shown, stack)
        while True:
            number += 1
            raw = _line(stream, LINE_LIMIT + 1, shown, number)
            if not raw:
                return
            place = Place(file=shown, line=number)
            if len(raw) > LINE_LIMIT:
                faults.note(
                    "line_too_long",
                    place,
                    "line",
                    None,
                    f"The line is longer than {LINE_LIMIT} bytes. Is this a file of lines?",
                )
                while raw and not raw.endswith(b"\n"):
                    raw = _line(stream, LINE_LIMIT, shown, number)
                continue
            if number == 1:
                raw = raw.removeprefix(_BOM)
            try:
                yield place, raw.decode()
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                faults.note(
                    "not_utf8",
                    place,
                    "line",
                    f"0x{byte:02x}",
                    f"Byte {error.start + 1} of the line is 0x{byte:02x}, which is no UTF-8. "
                    "Convert the file to UTF-8, for example with iconv.",
                )


def _opened(source: Source, shown: str, stack: ExitStack) -> IO[bytes]:
    if isinstance(source, bytes):
        stream: io.BufferedReader = io.BufferedReader(cast(io.RawIOBase, io.BytesIO(source)))
    else:
        try:
            stream = stack.enter_context(source.open("rb"))
        except FileNotFoundError:
            raise NotFound(f"There is no file {shown!r}.", field="file", value=shown) from None
        except OSError as error:
            raise InvalidInput(f"File {shown!r} cannot be read: {error.strerror}.", field="file", value=shown) from None
    if stream.peek(2)[:2] != _GZIP:
        return stream
    return cast(IO[bytes], stack.enter_context(io.BufferedReader(gzip.GzipFile(fileobj=stream))))


def _line(stream: IO[bytes], limit: int, shown: str, number: int) -> bytes:
    try:
        return stream.readline(limit)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInput(
            f"{shown}, after line {number - 1}: the gzip stream is damaged or ends early ({error}). "
            "Fetch the file again.",
            field="file",
            value=shown,
            file=shown,
            line=number,
        ) from None

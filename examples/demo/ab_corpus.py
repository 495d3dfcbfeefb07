"""hhweb's own documentation as a test collection: sections by heading, API operations, and hand-judged queries.

Ids are stable as long as headings are: `docs/exports.md#columns`, `docs/exports.md` for what stands above the first
heading, `docs/openapi.yaml#create_dataset` for an operation. The queries and judgments in `ab/` refer to them.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "examples/demo/README.md", "docs/**/*.md")
SCHEMA = "docs/openapi.yaml"
HEADING = re.compile(r"(#{1,6}) +(.+)")
FENCE = re.compile(r"\s*(```|~~~)")


def slug(heading: str) -> str:
    """The anchor of a heading, as the usual renderers make it."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.strip().replace(" ", "-")


def plain(markdown: str) -> str:
    """The words of a section: no rules of tables, no targets of links, no marks of emphasis, no comments."""
    text = re.sub(r"<!--.*?-->", "", markdown, flags=re.S)
    text = re.sub(r"^\|?[ \t:|-]+\|[ \t:|-]*\n", "", text, flags=re.M)
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    text = re.sub(r"^\s*```.*$|`|\*\*", "", text, flags=re.M)
    text = re.sub(r"^\s*\|(.*)\|\s*$", lambda row: re.sub(r"\s*(?<!\\)\|\s*", ": ", row[1].strip()), text, flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def sections(name: str, markdown: str) -> Iterator[dict[str, str]]:
    """Documents of a page, one a heading; headings without words of their own make none."""
    path: list[tuple[int, str]] = []
    seen: dict[str, int] = {}
    id, body, in_fence = f"{name}#top", [], False

    def section() -> Iterator[dict[str, str]]:
        if text := plain("\n".join(body)):
            yield {"_id": id, "title": ": ".join(heading for _, heading in path) or name, "text": text}

    for line in markdown.splitlines():
        if FENCE.match(line):
            in_fence = not in_fence
        if in_fence or not (found := HEADING.fullmatch(line)):
            body.append(line)
            continue
        yield from section()
        level, heading = len(found[1]), plain(found[2])
        path = [step for step in path if step[0] < level] + [(level, heading)]
        anchor = slug(heading)
        seen[anchor] = seen.get(anchor, 0) + 1
        if seen[anchor] > 1:
            anchor = f"{anchor}-{seen[anchor] - 1}"
        id, body = (f"{name}#{anchor}" if level > 1 or name in seen else name), []
        seen[name] = 1
    yield from section()


def operations(schema: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Documents of the native API, one an operation: what it does, its address, its parameters."""
    for address, methods in schema["paths"].items():
        for method, operation in methods.items():
            parameters = [
                f"{one['name']}: {one.get('description', '')}".rstrip(": ") for one in operation.get("parameters", [])
            ]
            title = operation.get("summary") or operation.get("description", "").splitlines()[0:1] or ""
            parts = [f"{method.upper()} {address}", operation.get("description", ""), "\n".join(parameters)]
            yield {
                "_id": f"{SCHEMA}#{operation['operationId']}",
                "title": title if isinstance(title, str) else title[0],
                "text": "\n".join(part for part in parts if part),
            }


def documents() -> list[dict[str, str]]:
    """All documents, in order of their ids."""
    pages = sorted({path for pattern in PAGES for path in ROOT.glob(pattern)})
    found = [
        document
        for page in pages
        for document in sections(page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8"))
    ]
    schema = yaml.load(
        (ROOT / SCHEMA).read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    return sorted([*found, *operations(schema)], key=lambda document: document["_id"])


def write_folder(folder: Path) -> Path:
    """The collection in BEIR's layout: documents as they stand today, queries and judgments from `ab/`."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(document, ensure_ascii=False) + "\n" for document in documents())
    (folder / "corpus.jsonl").write_text("".join(lines), encoding="utf-8")
    shutil.copyfile(HERE / "ab" / "queries.jsonl", folder / "queries.jsonl")
    shutil.copyfile(HERE / "ab" / "qrels.tsv", folder / "qrels" / "test.tsv")
    return folder

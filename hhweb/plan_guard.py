"""Guards IMPLEMENTATION_PLAN.md: `python -m hhweb.plan_guard`, also as `manage.py check_plan`. Plain Python.

The plan's milestones are the rows of its one table with the header `| id | title | status | date | proof |`.
It fails when the plan is missing, unparseable, contradicts itself or is stale, and says what to do.
"""

import argparse
import ast
import datetime as dt
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PLAN = "IMPLEMENTATION_PLAN.md"
COLUMNS = ["id", "title", "status", "date", "proof"]
STATUSES = ("planned", "in_progress", "done")
DEFAULT_MAX_AGE_DAYS = 30
_PROOF = re.compile(r"`([^`]+)`")


class PlanUnreadable(Exception):
    """The plan cannot be parsed; the message says where and what to write instead."""


@dataclass(frozen=True, slots=True)
class Milestone:
    """One row. `date` is when the status last changed; `proof` are test node ids."""

    line: int
    id: str
    title: str
    status: str
    date: dt.date | None
    proof: tuple[str, ...]


def parse(text: str) -> list[Milestone]:
    """The milestones of a plan, in order."""
    rows: list[Milestone] = []
    inside = False
    for number, line in enumerate(text.splitlines(), start=1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.lstrip().startswith("|") else []
        if not inside:
            inside = [cell.lower() for cell in cells] == COLUMNS
        elif not cells:
            break
        elif not all(set(cell) <= set("-: ") for cell in cells):
            rows.append(_milestone(number, cells))
    if not rows:
        raise PlanUnreadable(f"it has no table with the header | {' | '.join(COLUMNS)} | and rows below; write one")
    return rows


def _milestone(line: int, cells: list[str]) -> Milestone:
    if len(cells) != len(COLUMNS):
        raise PlanUnreadable(f"line {line} has {len(cells)} cells; write {len(COLUMNS)}: {', '.join(COLUMNS)}")
    identity, title, status, date, proof = cells
    if not identity or not title:
        raise PlanUnreadable(f"line {line} has no id or no title; write both")
    if status not in STATUSES:
        raise PlanUnreadable(f"line {line} has status {status!r}; write one of {', '.join(STATUSES)}")
    try:
        day = dt.date.fromisoformat(date) if date not in ("", "-") else None
    except ValueError:
        raise PlanUnreadable(f"line {line} has date {date!r}; write YYYY-MM-DD or -") from None
    return Milestone(line, identity, title, status, day, tuple(_PROOF.findall(proof)))


def contradictions(milestones: list[Milestone], *, root: Path, today: dt.date) -> list[str]:
    """What cannot be true, each as a sentence with its remedy."""
    faults = []
    seen: set[str] = set()
    for row in milestones:
        place = f"{row.id} (line {row.line})"
        if row.id in seen:
            faults.append(f"{place} stands twice; give every milestone its own id")
        seen.add(row.id)
        if row.date is not None and row.date > today:
            faults.append(f"{place} is dated {row.date}, in the future; write the day its status changed")
        if row.date is None and row.status != "planned":
            faults.append(f"{place} is {row.status} without a date; write the day its status changed")
        if row.status == "done" and not row.proof:
            faults.append(f"{place} is done without proof; name its tests as `tests/….py::test_name`")
        faults += [
            f"{place} names {node!r}, which {problem}; name a test that exists or set the milestone back"
            for node in row.proof
            if (problem := _missing(root, node))
        ]
    return faults


def staleness(milestones: list[Milestone], *, today: dt.date, max_age_days: int) -> str | None:
    """Why the plan is stale, or None. A plan whose milestones are all done cannot go stale."""
    if all(row.status == "done" for row in milestones):
        return None
    newest = max((row.date for row in milestones if row.date is not None), default=None)
    if newest is None:
        return "no milestone has a date; date the ones that were begun"
    age = (today - newest).days
    if age <= max_age_days:
        return None
    return (
        f"its newest milestone was updated {age} days ago ({newest}), {max_age_days} are allowed; "
        "bring statuses and dates up to what is true today"
    )


def _missing(root: Path, node: str) -> str | None:
    """What is wrong with a test node id: the file or the function is not there."""
    file, _, function = node.partition("::")
    path = root / file
    if not path.resolve().is_relative_to(root.resolve()) or not path.is_file():
        return f"does not exist: there is no file {file!r}"
    if not function:
        return "names no function"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {item.name for item in ast.walk(tree) if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
    return None if function.partition("[")[0].split("::")[-1] in names else f"does not exist: {file!r} has no such test"


def check(*, root: Path, today: dt.date, max_age_days: int = DEFAULT_MAX_AGE_DAYS) -> list[str]:
    """Every fault of the plan below `root`; empty when all is well."""
    path = root / PLAN
    if not path.is_file():
        return [f"{PLAN} is missing; restore it with a table | {' | '.join(COLUMNS)} |"]
    try:
        milestones = parse(path.read_text(encoding="utf-8"))
    except (PlanUnreadable, UnicodeDecodeError) as error:
        return [f"{PLAN} cannot be read: {error}"]
    faults = contradictions(milestones, root=root, today=today)
    if stale := staleness(milestones, today=today, max_age_days=max_age_days):
        faults.append(f"{PLAN} is stale: {stale}")
    return faults


def last_commit_date(root: Path) -> dt.date | None:
    """The day of the last commit, so that a checkout that nobody works on does not go stale; None without git."""
    try:
        shown = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), "log", "-1", "--format=%cI"],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout.strip()
        return dt.datetime.fromisoformat(shown).astimezone(dt.UTC).date()
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def run(*, root: Path, max_age_days: int) -> tuple[int, str]:
    """Exit code and what to print. Age counts up to the last commit; dates may reach up to today."""
    today = dt.datetime.now(dt.UTC).date()
    faults = check(root=root, today=today, max_age_days=10**6)
    if not faults:
        until = min(today, last_commit_date(root) or today)
        faults = check(root=root, today=today, max_age_days=max_age_days + (today - until).days)
    if faults:
        return 1, "\n".join(f"plan: {fault}" for fault in faults)
    return 0, f"plan: {PLAN} holds"


def main(arguments: list[str] | None = None) -> int:
    """Command line; exit code 1 when the plan does not hold."""
    parser = argparse.ArgumentParser(prog="python -m hhweb.plan_guard", description="Check IMPLEMENTATION_PLAN.md.")
    parser.add_argument("--max-age-days", type=int, default=DEFAULT_MAX_AGE_DAYS)
    parser.add_argument("--root", type=Path, default=Path.cwd())
    chosen = parser.parse_args(arguments)
    code, message = run(root=chosen.root, max_age_days=chosen.max_age_days)
    print(message, file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    raise SystemExit(main())

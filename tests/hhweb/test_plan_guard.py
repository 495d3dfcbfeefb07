"""The plan's guard fails for each way in which a plan can be wrong, and says what to do."""

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from hhweb import plan_guard

TODAY = dt.date(2026, 11, 21)
HEADER = "| id | title | status | date | proof |\n|---|---|---|---|---|\n"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_one():\n    pass\n\n\nasync def test_two():\n    pass\n")
    return tmp_path


def faults(root: Path, rows: str, **options) -> list[str]:
    (root / plan_guard.PLAN).write_text(f"# Plan\n\nWords.\n\n{HEADER}{rows}\nMore words | with a bar.\n")
    return plan_guard.check(root=root, today=TODAY, **options)


def test_a_good_plan_holds(root):
    rows = (
        "| M1 | Persistence | done | 2026-11-20 | `tests/test_a.py::test_one`, `tests/test_a.py::test_two[x]` |\n"
        "| M2 | Pipeline | in_progress | 2026-11-21 | - |\n"
        "| M3 | Runner | planned | - | - |\n"
    )
    assert faults(root, rows) == []


def test_a_missing_plan_is_named(root):
    assert plan_guard.check(root=root, today=TODAY) == [
        "IMPLEMENTATION_PLAN.md is missing; restore it with a table | id | title | status | date | proof |"
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "no table with the header"),
        ("| M1 | Persistence | done |\n", "line 7 has 3 cells; write 5"),
        ("| | Persistence | done | - | - |\n", "line 7 has no id or no title"),
        ("| M1 | Persistence | finished | - | - |\n", "status 'finished'; write one of planned, in_progress, done"),
        ("| M1 | Persistence | planned | soon | - |\n", "date 'soon'; write YYYY-MM-DD or -"),
    ],
)
def test_an_unparseable_plan_says_where_and_what_to_write(root, rows, said):
    (fault,) = faults(root, rows)
    assert fault.startswith("IMPLEMENTATION_PLAN.md cannot be read: ")
    assert said in fault


def test_a_plan_that_is_no_text_is_unreadable(root):
    (root / plan_guard.PLAN).write_bytes(b"\xff\xfe\x00")
    (fault,) = plan_guard.check(root=root, today=TODAY)
    assert "cannot be read" in fault


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("| M1 | A | done | 2026-11-20 | - |", "done without proof"),
        ("| M1 | A | done | - | `tests/test_a.py::test_one` |", "done without a date"),
        ("| M1 | A | in_progress | - | - |", "in_progress without a date"),
        ("| M1 | A | planned | 2026-11-22 | - |", "in the future"),
        ("| M1 | A | done | 2026-11-20 | `tests/test_b.py::test_one` |", "there is no file 'tests/test_b.py'"),
        ("| M1 | A | done | 2026-11-20 | `tests/test_a.py::test_three` |", "has no such test"),
        ("| M1 | A | done | 2026-11-20 | `tests/test_a.py` |", "names no function"),
        ("| M1 | A | done | 2026-11-20 | `../outside.py::test_one` |", "there is no file"),
    ],
)
def test_a_contradiction_is_named_with_its_milestone(root, row, said):
    (fault,) = faults(root, row + "\n| M2 | B | in_progress | 2026-11-20 | - |\n")
    assert fault.startswith("M1 (line 7) ")
    assert said in fault
    assert ";" in fault  # the remedy


def test_a_doubled_id_is_a_contradiction(root):
    (fault,) = faults(root, "| M1 | A | planned | 2026-11-20 | - |\n| M1 | B | planned | - | - |\n")
    assert "M1 (line 8) stands twice" in fault


def test_a_stale_plan_says_how_old_it_is_and_how_old_it_may_be(root):
    rows = "| M1 | A | in_progress | 2026-10-21 | - |\n"
    assert faults(root, rows, max_age_days=31) == []
    (fault,) = faults(root, rows, max_age_days=30)
    assert fault == (
        "IMPLEMENTATION_PLAN.md is stale: its newest milestone was updated 31 days ago (2026-10-21), 30 are allowed; "
        "bring statuses and dates up to what is true today"
    )


def test_a_plan_without_any_date_is_stale(root):
    (fault,) = faults(root, "| M1 | A | planned | - | - |\n")
    assert "no milestone has a date" in fault


def test_a_finished_plan_does_not_go_stale(root):
    assert faults(root, "| M1 | A | done | 2020-01-01 | `tests/test_a.py::test_one` |\n") == []


def test_age_counts_to_the_last_commit(root):
    old = (dt.datetime.now(dt.UTC) - dt.timedelta(days=300)).strftime("%Y-%m-%dT%H:%M:%S+00:00")
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True, env={"GIT_COMMITTER_DATE": old})
    (root / plan_guard.PLAN).write_text(HEADER + f"| M1 | A | in_progress | {old[:10]} | - |\n")
    assert plan_guard.run(root=root, max_age_days=5) == (0, "plan: IMPLEMENTATION_PLAN.md holds")


def test_without_git_age_counts_to_today(root):
    (root / plan_guard.PLAN).write_text(HEADER + "| M1 | A | in_progress | 2020-01-01 | - |\n")
    assert plan_guard.last_commit_date(root) is None
    code, message = plan_guard.run(root=root, max_age_days=5)
    assert code == 1
    assert "stale" in message


def test_the_command_line_exits_with_one_and_says_why(root):
    done = subprocess.run(
        [sys.executable, "-m", "hhweb.plan_guard", "--root", str(root)], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("plan: IMPLEMENTATION_PLAN.md is missing")


def test_main_returns_the_code(root, capsys):
    assert plan_guard.main(["--root", str(root)]) == 1
    assert "is missing" in capsys.readouterr().err


def test_the_management_command_says_the_same(root):
    with pytest.raises(CommandError, match="is missing"):
        call_command("check_plan", root=root)


def test_our_own_plan_holds(capsys):
    call_command("check_plan", root=ROOT, max_age_days=3650)
    assert capsys.readouterr().out == "plan: IMPLEMENTATION_PLAN.md holds\n"

"""What the console ships: the vendored script is the one named, our own files stay within their budgets."""

import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "hhweb" / "static"


def test_alpine_is_the_csp_build_that_was_reviewed() -> None:
    script = (STATIC / "unfold/js/alpine/alpine.js").read_bytes()

    digest = hashlib.sha256(script).hexdigest()
    assert digest == "0d18d7f8d7910e2e0212f0f056b12f50bebc3abb7d88d2f7c7cb4c336fe4519a"
    assert digest in (STATIC / "unfold/js/alpine/README.md").read_text()


def test_own_styles_and_scripts_stay_small() -> None:
    assert sum(path.stat().st_size for path in (STATIC / "console").glob("*.css")) <= 25_000
    assert sum(path.stat().st_size for path in (STATIC / "console").glob("*.js")) <= 25_000


def test_templates_carry_no_inline_style_or_script() -> None:
    templates = list((ROOT / "templates").rglob("*.html"))
    assert len(templates) >= 20
    for path in templates:
        assert not re.search(r"\sstyle=|<style|<script|\son[a-z]+=", path.read_text()), path.name

"""What pages are drawn with: small, without a way for data to become code, and the vendored file as its makers shipped it."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from hf_gate.config import PACKAGE
from hf_gate.desk.static_files import static_files
from tests.kits.desk import Desk, Visitor
from tests.kits.paths import ROOT

TEMPLATES = sorted(PACKAGE.glob("desk/templates/**/*.html"))
OURS = sorted(path for path in (PACKAGE / "desk" / "static").glob("*.js") if path.name != "htmx.min.js")


def test_all_scripts_together_are_small() -> None:
    scripts = b"".join(content for content, kind in static_files().values() if kind == "text/javascript")
    assert len(gzip.compress(scripts)) <= 40_000


def test_htmx_is_the_release_that_the_notice_names() -> None:
    digest = hashlib.sha256(static_files()["htmx.min.js"][0]).hexdigest()
    assert digest == "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"
    notice = (ROOT / "NOTICE").read_text("utf-8")
    assert "htmx 2.0.11" in notice
    assert "Zero-Clause" in notice


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_lets_data_through_unescaped(path: object) -> None:
    text = path.read_text("utf-8")  # type: ignore[attr-defined]
    assert re.findall(r"\|\s*safe\b|autoescape|\bMarkup\b", text) == []
    assert re.findall(r"""\son[a-z]+\s*=|\sstyle\s*=|href\s*=\s*["']?javascript:""", text) == []
    assert re.findall(r"\s[\w-]+=\{\{", text) == [], "an attribute without quotes"
    assert re.findall(r"""(?:src|href)="(?:https?:)?//""", text) == [], "nothing comes from elsewhere"


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_script_of_ours_makes_markup_or_code_of_text(path: object) -> None:
    text = path.read_text("utf-8")  # type: ignore[attr-defined]
    assert re.findall(r"\.innerHTML|\.outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text) == []


def test_no_module_marks_text_as_safe() -> None:
    for module in PACKAGE.rglob("*.py"):
        assert re.findall(r"\bMarkup\b|autoescape=False", module.read_text("utf-8")) == [], module.name


def test_a_file_of_another_version_is_not_kept(crowded: Desk) -> None:
    answer = Visitor(crowded.app).get("/static/000000000000/desk.js")
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")


def test_scripts_import_only_files_that_are_served() -> None:
    for script in OURS:
        for imported in re.findall(r'from "(.+?)"', script.read_text("utf-8")):
            assert imported.removeprefix("./") in static_files(), f"{script.name} imports {imported}"


def test_a_page_of_the_queue_is_light(crowded: Desk) -> None:
    answer = crowded.visitor().get("/queue")
    assert len(answer.rows) == 50
    assert len(answer.body.encode()) < 110_000


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_is_laid_out_for_its_readers(path: Path) -> None:
    text = path.read_text("utf-8")
    assert [line for line in text.splitlines() if len(line) > 140] == []
    assert re.findall(r"\{% endif %\}\n\s+[a-z-]+=", text) == [], "the attribute would stick to the one before"

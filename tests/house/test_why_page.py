"""docs/why.md has one section for each code of a diagnosis, and names the codes by exit code as the program does."""

from __future__ import annotations

import re

from hf_gate.hub.protocol.access_refusals import REFUSALS
from hf_gate.hub.why.diagnosis import Diagnosis, DiagnosisCode
from tests.kits.paths import ROOT

PAGE = (ROOT / "docs" / "why.md").read_text("utf-8")


def test_each_code_has_a_section_and_each_section_a_code() -> None:
    assert sorted(re.findall(r"(?m)^### (.+)$", PAGE)) == sorted(DiagnosisCode)


def test_each_section_says_what_to_do_and_who_can() -> None:
    for section in re.split(r"(?m)^### ", PAGE.partition("## Everything else")[0])[1:]:
        code, _, text = section.partition("\n")
        assert "What to do: " in text, code
        assert "Who can do it: " in text, code


def test_the_words_of_the_hub_are_on_the_page() -> None:
    words = " ".join(PAGE.split())
    known = {"what": "model acme/med-7b", "page": "https://huggingface.co/acme/med-7b", "type": "model", "user": "mia", "token": "laptop"}  # fmt: skip
    left = [
        refusal.text
        for refusal in REFUSALS
        if refusal.cause is not None
        and refusal.date != "2024"
        and refusal.text.format_map(known).partition(". ")[0].rstrip(".") not in words
    ]
    assert left == []


def test_the_table_of_exit_codes_is_that_of_the_program() -> None:
    rows = dict(re.findall(r"(?m)^\| (\d+) \| (.+) \|$", PAGE.partition("## The command")[2]))
    for code in DiagnosisCode:
        shown = "token_..." if code.value.startswith("token_") else code.value
        expected = Diagnosis(code, "", account="mia").exit_code
        assert expected == 0 or f"`{shown}`" in rows[str(expected)], code

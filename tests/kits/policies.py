"""Policies as text, and the desk and forms that they are checked against."""

from __future__ import annotations

from hf_gate.core.forms.forms import parse_gate_form
from hf_gate.policies.checks.policy_checker import CheckedPolicy, check_policy
from hf_gate.policies.parsing.config_parser import parse_config
from hf_gate.policies.parsing.policy_parser import parse_policy

CONFIG = parse_config(
    """version: 1
repos: [acme/model, datasets/acme/eeg]
tables:
  partners: {file: tables/partners.csv, key: email}
  dua: {file: tables/dua.csv, key: [user_id, email]}
templates:
  say-more: Please say more about {repo}.
"""
).config


_CARD = """---
extra_gated_fields:
  Intended use: text
  Affiliation: text
  Country: country
  I agree: checkbox
---
"""


FORMS = {
    "acme/model": parse_gate_form(_CARD),
    "datasets/acme/eeg": parse_gate_form("---\nextra_gated_fields:\n  Name: text\n---\n"),
}


def write_policy(rules: str, more: str = "", repos: str = "acme/model") -> str:
    indented = "\n".join(f"  {line}" for line in rules.strip("\n").split("\n"))
    return f"version: 1\npolicy: p\napplies_to: [{repos}]\n{more}rules:\n{indented}\n"


def check(text: str) -> CheckedPolicy:
    return check_policy(parse_policy(text, "p.yaml"), config=CONFIG, forms=FORMS)

"""Policies with a mistake, and the desk and forms that they are checked against."""

from __future__ import annotations

import re

from hf_gate.core.forms.forms import parse_gate_form
from hf_gate.policies.parsing.config_parser import parse_config
from tests.kits.paths import DATA

_TEXT = (DATA / "wrong_policies.txt").read_text("utf-8").replace("%tab%", "\t")
WRONG_POLICIES = dict(re.findall(r"^### (.+)\n((?:(?!^### ).*\n)+)", _TEXT, re.MULTILINE))


CONFIG = parse_config(
    """version: 1
repos: [acme/model, datasets/acme/eeg]
tables:
  partners: {file: tables/partners.csv, key: email}
  dua: {file: tables/dua.csv, key: [user_id, email]}
"""
).config


_CARD = """---
extra_gated_fields:
  Intended use: text
  "Grant #": text
  Country: country
---
"""


FORMS = {repo: parse_gate_form(_CARD) for repo in ("acme/model", "datasets/acme/eeg")}

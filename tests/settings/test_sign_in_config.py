"""`sign_in` in hf-gate.yaml: references to a client, and roles by organisation."""

from __future__ import annotations

import pytest

from hf_gate.core.people.members import MemberRole
from hf_gate.policies.parsing.config_parser import parse_config

BEGIN = "version: 1\nrepos: [acme/a]\n"
CLIENT = "sign_in:\n  client_id: env:A\n  client_secret: file:b\n"


def test_organisations_give_roles() -> None:
    text = f"{BEGIN}{CLIENT}  roles:\n    Acme: {{write: reviewer, any: viewer}}\n    lab: admin\n"
    found = parse_config(text).config
    assert found is not None
    assert (found.sign_in.client_id, found.sign_in.client_secret) == ("env:A", "file:b")
    assert found.sign_in.roles == {
        "acme": {"write": MemberRole.REVIEWER, "any": MemberRole.VIEWER},
        "lab": {"any": MemberRole.ADMIN},
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sign_in: yes\n", "sign_in must be written as `key: value` lines."),
        ("sign_in:\n  client_id: env:A\n", "sign_in has client_id, but no client_secret."),
        ("sign_in:\n  client_secret: env:A\n", "sign_in has client_secret, but no client_id."),
        (CLIENT.replace("env:A", "a-value"), "client_id is a secret: name the environment variable or the file"),
        (f"{CLIENT}  issuer: https://x\n", "sign_in has no key `issuer`."),
        (f"{CLIENT}  roles: admin\n", "Write roles as `organisation: {write: reviewer}` lines."),
        (f"{CLIENT}  roles: {{acme: owner}}\n", "`owner` is not a role: write viewer, reviewer, admin."),
        (f"{CLIENT}  roles: {{acme: {{owner: admin}}}}\n", "roles of acme has no key `owner`."),
        (f"{CLIENT}  roles: {{'a/b': admin}}\n", "That is not the name of an organisation on the Hub."),
        (f"{CLIENT}  roles: {{acme: admin, ACME: viewer}}\n", "`ACME` is named twice."),
    ],
)
def test_a_mistake_is_one_line(text: str, words: str) -> None:
    parsed = parse_config(BEGIN + text)
    assert parsed.config is None
    assert any(words in problem.message for problem in parsed.problems), parsed.problems


def test_a_space_needs_no_client() -> None:
    found = parse_config(f"{BEGIN}sign_in: {{roles: {{acme: viewer}}}}\n").config
    assert found is not None
    assert found.sign_in.client_id is None

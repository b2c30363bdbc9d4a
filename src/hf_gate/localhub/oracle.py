"""What is true of a drawn request, for scoring policies, linters and exports: its own stream of lines, never a part of any reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from .accounts import Persona

if TYPE_CHECKING:
    from .people import Drawn

_PURPOSE, _AFFILIATION, _CONSENT = "purpose", "affiliation", "consent"


class Truth(msgspec.Struct, frozen=True, gc=False):
    """`quality` and `manner` are by label (see answers.Filled); `roles` is the gate's own table from label to role."""

    persona: Persona
    email: str | None
    roles: dict[str, str]
    wants_institution: bool
    quality: dict[str, str] | None = None
    manner: dict[str, str] | None = None
    hostile_kind: str | None = None

    @property
    def klass(self) -> str:
        return self.persona.kind

    @property
    def person_id(self) -> int:
        return self.persona.person_id

    @property
    def expected_role_values(self) -> dict[str, str | None]:
        persona = self.persona
        return {
            "name": persona.name.strip() or None,
            "email": self.email,
            "affiliation": persona.place.name if persona.place else None,
            "country": persona.country.code,
        }

    @property
    def should(self) -> str:
        """accept, reset, reject or human, as a sensible steward would; the first line of the table that fits."""
        quality, manner, roles = self.quality, self.manner or {}, self.roles
        if quality is None:
            return "accept"
        if self.persona.kind == "bot" or self.hostile_kind in ("injection", "evidence"):
            return "reject"
        if (
            self.hostile_kind is not None
            or self.persona.mail in ("lookalike", "disposable", "odd")
            or "under 18" in manner.values()
        ):
            return "human"
        if any(manner.get(label) == "not ticked" for label, role in roles.items() if role == _CONSENT):
            return "reset"
        if any(
            quality.get(label, "good") != "good" for label, role in roles.items() if role in (_PURPOSE, _AFFILIATION)
        ):
            return "reset"
        if self.wants_institution and self.persona.mail not in ("academic", "company"):
            return "human"
        return "accept"


_LINE: Final = msgspec.json.Encoder()


def oracle_line(drawn: Drawn) -> bytes:
    """One line of JSON about one request, with its end of line."""
    truth = drawn.truth
    line = {
        "request_id": drawn.request_id,
        "person_id": truth.person_id,
        "class": truth.klass,
        "email_class": truth.persona.mail,
        "quality": truth.quality,
        "manner": truth.manner or {},
        "hostile_kind": truth.hostile_kind,
        "expected_role_values": truth.expected_role_values,
        "should": truth.should,
    }
    return _LINE.encode(line) + b"\n"

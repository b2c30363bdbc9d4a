"""Which packages a requirement installs here, with everything that they require in turn."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def list_installed(requirements: Iterable[str]) -> set[str]:
    """Return the normalised names of all packages that a user gets with these requirements on this machine."""
    names: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        names.add(name)
        waiting += [
            needed
            for needed in map(Requirement, distribution(name).requires or ())
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras or {""})
        ]
    return names

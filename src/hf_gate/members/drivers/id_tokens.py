"""Verifies the id tokens of a sign-in provider: signature, algorithm, issuer, audience, nonce and times."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from hf_gate.base.ids import is_id

MAX_ID_TOKEN: Final = 16_384  # characters
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
_KEY_TYPES: Final[Mapping[str, type[RSAKey | ECKey | OKPKey]]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_LEEWAY: Final = 60  # seconds
_MAX_AGE: Final = 600  # seconds since the token was made
_MAX_KEYS: Final = 50
_MIN_RSA_BITS: Final = 2048


class InvalidIdToken(Exception):
    """An id token is not valid; the message says why, without the token."""


class UnknownKey(InvalidIdToken):
    """The token names a key that is not among the keys."""


def verify_id_token(
    token: str, keys: object, *, issuer: str, client_id: str, nonce: str, now: float
) -> Mapping[str, Any]:
    """Return the claims of a valid token. `keys` is the provider's JSON Web Key Set, `now` is in seconds.

    Raises InvalidIdToken, or UnknownKey if newer keys may help.
    """
    header = _read_header(token)
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise InvalidIdToken("its algorithm is not allowed")
    key = _import_key(_choose_key(keys, header.get("kid")))
    try:
        claims = jwt.decode(token, key, algorithms=list(ALGORITHMS)).claims
    except (JoseError, ValueError, TypeError, RecursionError):
        raise InvalidIdToken("its signature is not valid") from None
    _check_claims(claims, issuer, client_id, nonce)
    _check_times(claims, now)
    return claims


def _read_header(token: str) -> Mapping[str, Any]:
    if len(token) > MAX_ID_TOKEN:
        raise InvalidIdToken("it is too large")
    part = token.partition(".")[0]
    try:
        header = msgspec.json.decode(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):  # of base64, of a character beyond ASCII, and of JSON
        header = None
    if token.count(".") != 2 or not isinstance(header, dict):
        raise InvalidIdToken("it is not a signed token")
    return header


def _choose_key(keys: object, kid: object) -> Mapping[str, Any]:
    """Return the key with this id; without an id, the only key."""
    listed = keys.get("keys") if isinstance(keys, Mapping) else None
    known = [key for key in listed if isinstance(key, dict)] if isinstance(listed, list) else []
    usable = [key for key in known[:_MAX_KEYS] if key.get("kty") in _KEY_TYPES and key.get("use", "sig") == "sig"]
    found = usable if kid is None else [key for key in usable if key.get("kid") == kid]
    if len(found) != 1:
        raise UnknownKey("an unknown key signed it")
    return found[0]


def _import_key(found: Mapping[str, Any]) -> RSAKey | ECKey | OKPKey:
    try:
        key = _KEY_TYPES[str(found["kty"])].import_key(dict(found))
        size = key.public_key.key_size if isinstance(key, RSAKey) else _MIN_RSA_BITS
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise InvalidIdToken("the provider's key cannot be read") from None
    if size < _MIN_RSA_BITS:
        raise InvalidIdToken("the provider's key is too short")
    return key


def _check_claims(claims: Mapping[str, Any], issuer: str, client_id: str, nonce: str) -> None:
    if claims.get("iss") != issuer:
        raise InvalidIdToken("another provider issued it")
    if claims.get("aud") not in (client_id, [client_id]) or claims.get("azp", client_id) != client_id:
        raise InvalidIdToken("it is for another application")
    sent = claims.get("nonce")
    if not isinstance(sent, str) or not hmac.compare_digest(sent.encode("utf-8", "replace"), nonce.encode()):
        raise InvalidIdToken("it belongs to another sign-in (its nonce differs)")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not is_id(subject):
        raise InvalidIdToken("it names no account")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires: Any = claims.get("exp")
    issued: Any = claims.get("iat")
    starts: Any = claims.get("nbf", issued)  # optional: "not before"
    if not all(isinstance(time, int | float) and not isinstance(time, bool) for time in (expires, issued, starts)):
        raise InvalidIdToken("it has no times")
    if not expires > now - _LEEWAY or not issued > now - _MAX_AGE - _LEEWAY:
        raise InvalidIdToken("it has expired, or this machine's clock is wrong")
    if not issued < now + _LEEWAY or not starts < now + _LEEWAY:
        raise InvalidIdToken("it is from the future, or this machine's clock is wrong")

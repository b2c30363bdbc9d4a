"""Signs id tokens of the local Hub's sign-in provider, also in the wrong ways that a fault asks for."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

ALGORITHM: Final = "RS256"
_KEY: Final = "local-1"
_NEXT_KEY: Final = "local-2"
_UNPUBLISHED_KEY: Final = "unpublished"


@cache
def _make_key(kid: str) -> RSAKey:
    """Return the key of this process with this id. It is made at its first use, which takes 0.1 s."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": ALGORITHM}, private=True)


def publish_keys(*, is_rotated: bool = False) -> dict[str, Any]:
    """Return the public keys as a JSON Web Key Set. After a rotation, a second key is in it."""
    names = (_KEY, _NEXT_KEY) if is_rotated else (_KEY,)
    return {"keys": [_make_key(name).as_dict(private=False) for name in names]}


def sign_id_token(claims: Mapping[str, Any], secret: str, how: str = "") -> str:
    """Return the signed id token. `how`: a way in which the signature is wrong; `secret` is the client's secret."""
    match how:
        case "alg_none":
            return ".".join([*(_encode_part(part) for part in ({"alg": "none", "typ": "JWT"}, dict(claims))), ""])
        case "alg_hs256":
            key = OctKey.import_key(secret.ljust(32, "_"))
            return jwt.encode({"alg": "HS256", "kid": _KEY}, dict(claims), key)
        case "unknown_key":
            return _sign(claims, _UNPUBLISHED_KEY, _UNPUBLISHED_KEY)
        case "forged":
            return _sign(claims, _KEY, _UNPUBLISHED_KEY)
        case "rotated":
            return _sign(claims, _NEXT_KEY, _NEXT_KEY)
        case _:
            return _sign(claims, _KEY, _KEY)


def _sign(claims: Mapping[str, Any], kid: str, key: str) -> str:
    return jwt.encode({"alg": ALGORITHM, "kid": kid}, dict(claims), _make_key(key))


def _encode_part(value: dict[str, Any]) -> str:
    return urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()

"""Sealing of stored secrets: Fernet (AES-128-CBC with HMAC-SHA-256) under a key derived from the signing key.

HKDF-SHA-256 (RFC 5869) keeps the derived key apart from everything else the signing key is used for. The seal holds
whose secret it is, so that a sealed value copied to another row does not open there.
"""

import base64
import functools
import hashlib
import json

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from governance.domain.errors import DomainError

_PURPOSE = b"hhweb: secrets of providers, version 1"


class CannotOpen(DomainError):
    """A stored secret does not open with the keys of this installation."""

    code = "secret_cannot_be_opened"
    status = 500
    is_transient = False


def seal(value: str, *, owner: str, name: str) -> tuple[str, str]:
    """Sealed text, and the id of the key it was sealed with."""
    key = _keys(settings.SECRET_KEY)[0]
    text = json.dumps({"owner": owner, "name": name, "value": value})
    return Fernet(key).encrypt(text.encode()).decode(), key_id(key)


def unseal(sealed: str, *, key: str, owner: str, name: str) -> str:
    """The value, when it was sealed for this owner and name with a key we have. Raises `CannotOpen`."""
    known = {key_id(k): k for k in _keys(settings.SECRET_KEY, *settings.OLD_SECRET_KEYS)}
    if key not in known:
        raise CannotOpen(
            f"The secret {name!r} was stored under another signing key. Add that one to HHWEB_OLD_SECRET_KEYS, or "
            "store the secret again.",
            field="secret",
            value=name,
        )
    try:
        held = json.loads(Fernet(known[key]).decrypt(sealed.encode()))
    except InvalidToken:
        held = {}
    if held.get("owner") != owner or held.get("name") != name:
        raise CannotOpen(
            f"The secret {name!r} was changed in the database; store it again.", field="secret", value=name
        )
    return str(held["value"])


def key_id(key: bytes) -> str:
    """A name for a derived key that tells nothing about it."""
    return hashlib.sha256(b"id of " + key).hexdigest()[:16]


@functools.lru_cache(maxsize=8)
def _keys(*signing_keys: str) -> list[bytes]:
    return [
        base64.urlsafe_b64encode(HKDF(SHA256(), length=32, salt=None, info=_PURPOSE).derive(key.encode()))
        for key in signing_keys
    ]

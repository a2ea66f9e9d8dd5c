"""Ed25519 signatures of ledger heads, with the user's own key file (RFC 8032). Needs the package `cryptography`."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.core.errors import DefinitionError, InputError
from orchestrator.store.ledger.chain import canonical_text


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature over a statement: both and the public key as text."""

    statement: str
    """Canonical JSON of the signed statement."""
    signature: str
    """Base64."""
    public_key: str
    """The raw 32 bytes in base64."""

    def to_json(self) -> dict[str, str]:
        """Plain data."""
        return {"statement": self.statement, "signature": self.signature, "public_key": self.public_key}


def sign(statement: Mapping[str, Any], key_file: Path) -> Signature:
    """Sign a statement with the private key in a PEM file. Raises `InputError` for a file without one."""
    ed25519, serialization = _library()
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise InputError(f"{key_file}: no private key in PEM without a password ({error}).") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InputError(f"{key_file}: the key is not Ed25519. `openssl genpkey -algorithm ed25519` makes one.")
    text = canonical_text(dict(statement))
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return Signature(text, _text(key.sign(text.encode())), _text(raw))


def check_signature(signature: Signature, key_file: Path | None = None) -> str:
    """The problem of a signature; empty for a valid one.

    `key_file` is the expected public key (PEM); without it the signature is checked against the key that it names
    itself, which proves only that text and signature belong together.
    """
    ed25519, serialization = _library()
    public = base64.b64decode(signature.public_key)
    if key_file is not None:
        try:
            expected = serialization.load_pem_public_key(key_file.read_bytes())
        except ValueError as error:
            raise InputError(f"{key_file}: no public key in PEM ({error}).") from None
        raw = expected.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        if raw != public:
            return "it was signed with another key"
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(public)
        key.verify(base64.b64decode(signature.signature), signature.statement.encode())
    except Exception:
        return "the signature does not fit the statement"
    return ""


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise DefinitionError("Signing needs the package `cryptography`, which is not installed.") from None
    return ed25519, serialization


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


__all__ = ["Signature", "check_signature", "sign"]

"""The service's signature under records: Ed25519, with a key made at the first start."""

import base64
import binascii
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from judge.errors import UserError
from judge.record import PublicKey, Record, Signature, SignedRecord, signed_bytes

KEY_FILE = "signing.key"


class Signer:
    """Signs records.

    Args:
        key: stays in this process.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key=_text(key.public_key().public_bytes_raw()))

    def sign(self, record: Record) -> SignedRecord:
        value = self._key.sign(signed_bytes(record.model_dump(mode="json")))
        signature = Signature(key=self.public.key, value=_text(value))
        return SignedRecord(record=record, signature=signature)


def load_signer(path: Path) -> Signer:
    """The signer of a key file (PEM, PKCS 8); made at the first call, readable by its owner alone.

    Raises UserError if the file is something else.
    """
    if not path.is_file():
        _make(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise UserError(
            f"{path} is not a key in PEM: restore it from a backup; without it nothing can be "
            "signed as before (remove it to have another made)",
            code="bad-signing-key",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"{path} is not an Ed25519 key", code="bad-signing-key")
    return Signer(key)


def valid(record: Any, signature: Signature) -> bool:
    """Whether the key that the signature names has signed this very document."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(signature.key, validate=True))
        key.verify(base64.b64decode(signature.value, validate=True), signed_bytes(record))
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def _make(path: Path) -> None:
    """Whole or not at all, and never over another: two web processes may start together."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".draft-")  # mode 0600
    with open(handle, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(handle)
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    Path(draft).unlink()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")

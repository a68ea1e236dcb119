"""What a backup is: a zip of one JSON line per row, the stored packages, and a manifest.

    tables/NAME.jsonl     the rows of a table, each a list in the order of the manifest's columns
    packages/HASH.zip     every version of every problem
    signing.key           what records are signed with
    manifest.json         schema, columns, counts, and the SHA-256 of everything else

Neither SQLite nor PostgreSQL shows in it, so either is restored from a backup of the other.
"""

import base64
import hashlib
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, ValidationError

from judge.errors import UserError

FORMAT = 1
MANIFEST = "manifest.json"
_BLOCK_BYTES = 1 << 20

Kind = Literal["uuid", "moment", "bytes", "flag", "plain"]


class TableInfo(BaseModel):
    """Attributes:
    columns: name and kind of each, in the order of the rows' values.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    columns: dict[str, Kind]
    rows: int

    @property
    def member(self) -> str:
        """Its name in the zip."""
        return f"tables/{self.name}.jsonl"

    def table(self) -> sa.Table:
        """To write to, in any version of the schema that has these columns."""
        columns = [sa.Column(name, _types()[kind]) for name, kind in self.columns.items()]
        return sa.Table(self.name, sa.MetaData(), *columns)


class Manifest(BaseModel):
    """Attributes:
    schema_version: the revision of the migrations that the rows fit.
    sha256: of every other member of the zip.
    """

    model_config = ConfigDict(frozen=True)

    format: int
    schema_version: str
    created_at: datetime
    tables: tuple[TableInfo, ...]
    sha256: dict[str, str]


def kind_of(column: sa.Column[Any]) -> Kind:
    """How the values of a column are written."""
    # What a decorated type (of moments, of strings) is underneath.
    inner = column.type.impl_instance if isinstance(column.type, sa.TypeDecorator) else column.type
    kinds: dict[type, Kind] = {UUID: "uuid", datetime: "moment", bytes: "bytes", bool: "flag"}
    return kinds.get(inner.python_type, "plain")


def encode(value: Any, kind: Kind) -> Any:
    """A value as JSON has it."""
    if value is None:
        return None
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind == "moment":
        return value.astimezone(UTC).isoformat()
    return str(value) if kind == "uuid" else value


def decode(value: Any, kind: Kind) -> Any:
    """A value from JSON."""
    if value is None:
        return None
    if kind == "bytes":
        return base64.b64decode(value)
    if kind == "moment":
        return datetime.fromisoformat(value)
    return UUID(value) if kind == "uuid" else value


def write_member(archive: zipfile.ZipFile, name: str, blocks: Iterator[bytes]) -> str:
    """Add a member; returns its SHA-256."""
    digest = hashlib.sha256()
    with archive.open(name, "w", force_zip64=True) as member:
        for block in blocks:
            digest.update(block)
            member.write(block)
    return digest.hexdigest()


def open_verified(path: Path) -> tuple[zipfile.ZipFile, Manifest]:
    """A backup, every byte of which was compared with its checksum. Raises UserError."""
    try:
        archive = zipfile.ZipFile(path)
        manifest = Manifest.model_validate_json(archive.read(MANIFEST))
        if manifest.format != FORMAT:
            raise _unusable(path, f"its format is {manifest.format}, this opjudge reads {FORMAT}")
        for name, expected in manifest.sha256.items():
            with archive.open(name) as member:
                if _digest(member) != expected:
                    raise _unusable(path, f"{name} does not have its checksum")
    except (zipfile.BadZipFile, KeyError, ValidationError, EOFError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise _unusable(path, str(error)) from error
    return archive, manifest


def rows_of(archive: zipfile.ZipFile, table: TableInfo) -> Iterator[dict[str, Any]]:
    """The rows of a table."""
    with archive.open(table.member) as member:
        for line in member:
            values = zip(table.columns.items(), json.loads(line), strict=True)
            yield {name: decode(value, kind) for (name, kind), value in values}


def file_blocks(path: Path) -> Iterator[bytes]:
    """A file, a piece at a time."""
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def _digest(member: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := member.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def _types() -> dict[Kind, sa.types.TypeEngine[Any]]:
    return {
        "uuid": sa.Uuid(),
        "moment": sa.DateTime(timezone=True),
        "bytes": sa.LargeBinary(),
        "flag": sa.Boolean(),
        "plain": sa.types.NullType(),
    }


def _unusable(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} is damaged or not a backup: {why}; nothing was changed; take another copy of it",
        code="bad-backup",
    )

"""`opjudge backup` and `opjudge restore`: everything that cannot be made anew, in one file.

Left out are the boards, which are derived, and the workers' token, which lets whoever has it decide
verdicts: a restored server makes a new one unless it is given one. The key that records are signed
with is in it: another one cannot take its place, since people hold the public half.
"""

import json
import os
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import Session, SQLModel

from judge.errors import UserError
from leaderboard import archive, audit, machine
from leaderboard.archive import Manifest, TableInfo
from leaderboard.audit import Action
from leaderboard.db import Database, alembic_config

_KEY = "signing.key"
_DERIVED = frozenset({"board", "standing"})
_BATCH = 500
# Columns the database counts by itself, which has to go on after the rows.
_COUNTED = (
    ("user_account", "id"),
    ("token", "id"),
    ("submission", "number"),
    ("audit_entry", "id"),
)


def backup(
    db: Database, packages: Path, signing_key: Path, target: Path, now: datetime
) -> Manifest:
    """Write one state of the database, as of the beginning, while the service goes on.

    Args:
        packages: folder of the stored packages.
        signing_key: file of the key; there is none before the first start.

    Raises UserError ``file-exists``; the target is there whole or not at all.
    """
    if target.exists():
        raise UserError(
            f"{target} exists already; give another name, a backup overwrites nothing",
            code="file-exists",
        )
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    # It holds password hashes and what people handed in: nobody else's to read.
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(handle, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as written:
                manifest = _write(written, db, packages, signing_key, now)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return manifest


def restore(
    db: Database, packages: Path, signing_key: Path, source: Path, operator: str, now: datetime
) -> Manifest:
    """Fill an empty database from a backup, whole or not at all.

    What was being judged when the backup was made waits again; boards are made at the next start.

    Raises UserError: ``bad-backup``, ``newer-backup``, ``database-not-empty``, ``other-key``.
    """
    opened, manifest = archive.open_verified(source)
    with opened, db.writing() as connection:
        _check_empty(connection)
        key = _checked_key(opened, manifest, signing_key)
        config = alembic_config(connection)
        if manifest.schema_version not in _revisions(connection):
            raise UserError(
                f"{source} was made by a newer opjudge (schema {manifest.schema_version}); "
                "install that version to restore it",
                code="newer-backup",
            )
        command.upgrade(config, manifest.schema_version)
        for table in manifest.tables:
            _fill(connection, table, archive.rows_of(opened, table))
        command.upgrade(config, "head")
        _count_on(connection)
        with Session(connection) as session:
            machine.restore(session, now)
            detail = f"backup of {manifest.created_at:%Y-%m-%d %H:%M:%S} UTC"
            audit.record(session, now, operator, Action.RESTORED, source.name, detail)
            session.flush()
        _put_packages(opened, manifest, packages)
        _put_key(key, signing_key)
    return manifest


def has_signing_key(manifest: Manifest) -> bool:
    """Backups of earlier versions are without."""
    return _KEY in manifest.sha256


def _write(
    written: zipfile.ZipFile, db: Database, packages: Path, signing_key: Path, now: datetime
) -> Manifest:
    sums: dict[str, str] = {}
    tables = []
    with db.snapshot() as connection:
        schema = MigrationContext.configure(connection).get_current_revision()
        if schema != ScriptDirectory.from_config(alembic_config(connection)).get_current_head():
            raise UserError(
                f"the database has the schema {schema}, not that of this opjudge; start the "
                "server once, or use the opjudge that wrote it",
                code="other-schema",
            )
        for table in SQLModel.metadata.sorted_tables:
            if table.name not in _DERIVED:
                info, digest = _write_table(written, connection, table)
                tables.append(info)
                sums[info.member] = digest
    for path in sorted(packages.glob("*.zip")):
        name = f"packages/{path.name}"
        sums[name] = archive.write_member(written, name, archive.file_blocks(path))
    if signing_key.is_file():
        sums[_KEY] = archive.write_member(written, _KEY, archive.file_blocks(signing_key))
    manifest = Manifest(
        format=archive.FORMAT,
        schema_version=schema,
        created_at=now,
        tables=tuple(tables),
        sha256=sums,
    )
    written.writestr(archive.MANIFEST, manifest.model_dump_json(indent=1))
    return manifest


def _write_table(
    written: zipfile.ZipFile, connection: sa.Connection, table: sa.Table
) -> tuple[TableInfo, str]:
    kinds = {column.name: archive.kind_of(column) for column in table.columns}
    count = 0

    def lines() -> Iterator[bytes]:
        nonlocal count
        found = connection.execution_options(yield_per=_BATCH).execute(sa.select(table))
        for row in found:
            count += 1
            values = [
                archive.encode(value, kind) for value, kind in zip(row, kinds.values(), strict=True)
            ]
            yield json.dumps(values, separators=(",", ":")).encode() + b"\n"

    digest = archive.write_member(written, f"tables/{table.name}.jsonl", lines())
    return TableInfo(name=table.name, columns=kinds, rows=count), digest


def _check_empty(connection: sa.Connection) -> None:
    tables = sa.inspect(connection).get_table_names()
    if tables:
        raise UserError(
            f"the database is in use already ({len(tables)} tables); restore into an empty one: "
            "another data directory or OPJUDGE_DATABASE_URL, before the server is started there",
            code="database-not-empty",
        )


def _revisions(connection: sa.Connection) -> set[str]:
    scripts = ScriptDirectory.from_config(alembic_config(connection))
    return {script.revision for script in scripts.walk_revisions()}


def _fill(connection: sa.Connection, info: TableInfo, rows: Iterable[dict[str, Any]]) -> None:
    table, left, count = info.table(), iter(rows), 0
    while batch := list(islice(left, _BATCH)):
        connection.execute(sa.insert(table), batch)
        count += len(batch)
    if count != info.rows:
        raise UserError(
            f"{info.name} has {count} rows, not {info.rows} as the manifest says; nothing was "
            "changed",
            code="bad-backup",
        )


def _count_on(connection: sa.Connection) -> None:
    if connection.dialect.name != "postgresql":
        return  # SQLite counts on from the largest by itself
    for table, column in _COUNTED:
        counted = sa.table(table, sa.column(column)).c[column]
        following = sa.select(sa.func.coalesce(sa.func.max(counted), 0) + 1).scalar_subquery()
        sequence = sa.func.pg_get_serial_sequence(table, column)
        connection.execute(sa.select(sa.func.setval(sequence, following, sa.false())))


def _checked_key(opened: zipfile.ZipFile, manifest: Manifest, path: Path) -> bytes | None:
    """The key of the backup; None if there is nothing to be done about it."""
    key = opened.read(_KEY) if has_signing_key(manifest) else None
    if key is None or not path.exists():
        return key
    if path.read_bytes() != key:
        raise UserError(
            f"{path} is another key than the backup's: records signed before the backup would no "
            "longer be this server's; move it away, or restore into another data directory",
            code="other-key",
        )
    return None


def _put_key(key: bytes | None, path: Path) -> None:
    if key is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Never readable by others, not for a moment.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as file:
            file.write(key)


def _put_packages(opened: zipfile.ZipFile, manifest: Manifest, packages: Path) -> None:
    packages.mkdir(parents=True, exist_ok=True)
    for name in manifest.sha256:
        folder, _, file = name.rpartition("/")
        # Names come from a file that somebody brought: nothing but plain ones.
        if folder == "packages" and Path(file).name == file:
            (packages / file).write_bytes(opened.read(name))

"""Backup and restore, between any two databases, while the service goes on."""

import hashlib
import json
import sqlite3
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from judge import wire
from judge.errors import UserError
from judge.signing import KEY_FILE, load_signer
from judge.verdict import Status
from leaderboard import archive, audit
from leaderboard.archive import Manifest
from leaderboard.backup import backup, restore
from leaderboard.db import Database
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.test_boards import recomputed, shown
from tests.leaderboard.world import API, PASSWORD, World

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def back_up(world: World, target: Path) -> Manifest:
    services = world.services
    settings = services.settings
    return backup(
        services.db, settings.packages_dir, settings.signing_key, target, services.clock()
    )


@contextmanager
def restored(file: Path, url: str, folder: Path, make_world: MakeWorld) -> Iterator[World]:
    """A service on an empty machine, from a backup."""
    database = Database(url)
    data = folder / "restored"
    restore(database, data / "packages", data / KEY_FILE, file, "operator:test", NOW)
    database.close()
    yield make_world(database_url=url, data_dir=data)


def furnish(world: World) -> None:
    """People on the board, one submission waiting, one with a worker, one refused."""
    alice, bob = world.person("alice"), world.person("bob")
    world.judge(alice, 2.0)
    world.judge(bob, 3.0)
    world.submit(alice)
    world.finish(world.claim())
    world.submit(bob)
    world.submit(alice)
    claim = world.claim()
    world.report(claim, "progress", wire.Progress(status=Status.TIMING, done=1, total=3))


def test_an_empty_machine_becomes_the_old_one(
    world: World, make_world: MakeWorld, empty_database_url: str, tmp_path: Path, folder: Path
) -> None:
    furnish(world)
    before = shown(world, 200)
    pages = world.get("/submissions").json()["items"]
    manifest = back_up(world, tmp_path / "backup.zip")
    assert sum(table.rows for table in manifest.tables) > 20
    assert (tmp_path / "backup.zip").stat().st_mode & 0o777 == 0o600

    with restored(tmp_path / "backup.zip", empty_database_url, folder, make_world) as again:
        assert shown(again, 200) == before == recomputed(again)
        same = ("id", "user", "verdict", "score", "submitted_at", "filename")
        after = again.get("/submissions").json()["items"]
        assert [[item[k] for k in same] for item in after] == [
            [item[k] for k in same] for item in pages
        ]
        claims = [again.claim(), again.claim()]
        assert again.post_claim().status_code == 204, "both that were pending wait again, once"
        for claim in claims:
            assert claim.files[0].content.startswith(b"def solve")
            assert again.finish(claim).status_code == 200
            package = f"{API}/worker/packages/{claim.package_hash}"
            assert again.client.get(package, headers=again.worker_headers).status_code == 200
        credentials = {"name": "alice", "password": PASSWORD}
        assert again.client.post(f"{API}/tokens", json=credentials).status_code == 201
        assert again.person("carol"), "the counters go on after the rows"
        assert shown(again, 200) == recomputed(again)
        with again.services.db.read() as session:
            actions = [line.action for line in audit.latest(session, 100)]
        assert "restored" in actions


def test_a_lease_of_the_old_machine_is_worth_nothing_on_the_new_one(
    world: World, make_world: MakeWorld, empty_database_url: str, tmp_path: Path, folder: Path
) -> None:
    world.submit(world.person("alice"))
    claim = world.claim()
    back_up(world, tmp_path / "backup.zip")

    with restored(tmp_path / "backup.zip", empty_database_url, folder, make_world) as again:
        assert again.finish(claim).status_code == 409
        fresh = again.claim()
        assert fresh.judgement_id == claim.judgement_id
        assert again.finish(fresh).status_code == 200


def test_it_is_one_state_however_much_is_written_meanwhile(
    world: World, make_world: MakeWorld, empty_database_url: str, tmp_path: Path, folder: Path
) -> None:
    people = [world.person(f"person{i}") for i in range(3)]
    for person in people:
        world.judge(person, 2.0)
    stop, written = threading.Event(), threading.Semaphore(0)

    def write_on() -> None:
        value = 2.0
        while not stop.is_set():
            value += 0.5
            world.judge(people[0], value)
            written.release()

    thread = threading.Thread(target=write_on)
    thread.start()
    written.acquire()
    try:
        back_up(world, tmp_path / "backup.zip")
    finally:
        stop.set()
        thread.join()

    with restored(tmp_path / "backup.zip", empty_database_url, folder, make_world) as again:
        # Foreign keys alone would not notice a judgement without its runs.
        with again.services.db.engine.connect() as connection:
            [(orphans,)] = connection.exec_driver_sql(
                "SELECT count(*) FROM judgement WHERE state = 'judged' AND id NOT IN "
                "(SELECT judgement_id FROM run)"
            ).all()
        assert orphans == 0
        assert shown(again, 200) == recomputed(again)


@pytest.fixture
def saved(world: World, tmp_path: Path) -> Path:
    furnish(world)
    back_up(world, tmp_path / "backup.zip")
    return tmp_path / "backup.zip"


def rewrite(source: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Make the zip anew with members changed, or left out."""
    with zipfile.ZipFile(source) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(source, "w") as new:
        for name, content in members.items():
            changed = change(name, content)
            if changed is not None:
                new.writestr(name, changed)


def refused(file: Path, url: str, folder: Path, code: str) -> str:
    """The restore is refused, and the database is as empty as before."""
    database = Database(url)
    with pytest.raises(UserError) as error:
        restore(database, folder / "packages", folder / KEY_FILE, file, "operator:test", NOW)
    assert error.value.code == code
    with database.engine.connect() as connection:
        assert not database.engine.dialect.has_table(connection, "user_account")
    database.close()
    assert not (folder / "packages").exists()
    assert not (folder / KEY_FILE).exists()
    return error.value.message


def test_a_changed_byte_is_noticed(saved: Path, empty_database_url: str, folder: Path) -> None:
    def raise_a_score(name: str, content: bytes) -> bytes:
        return content.replace(b"3.0", b"9.0") if name == "tables/judgement.jsonl" else content

    rewrite(saved, raise_a_score)

    assert "tables/judgement.jsonl" in refused(saved, empty_database_url, folder, "bad-backup")


@pytest.mark.parametrize("name", ["tables/run.jsonl", archive.MANIFEST])
def test_a_missing_part_is_noticed(
    saved: Path, empty_database_url: str, folder: Path, name: str
) -> None:
    rewrite(saved, lambda each, content: None if each == name else content)

    refused(saved, empty_database_url, folder, "bad-backup")


def test_half_a_file_is_noticed(saved: Path, empty_database_url: str, folder: Path) -> None:
    saved.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])

    assert "nothing was changed" in refused(saved, empty_database_url, folder, "bad-backup")


def test_a_backup_of_the_future_is_refused(
    saved: Path, empty_database_url: str, folder: Path
) -> None:
    def newer(name: str, content: bytes) -> bytes:
        return (
            content.replace(b'"schema_version": "', b'"schema_version": "9')
            if (name == archive.MANIFEST)
            else content
        )

    rewrite(saved, newer)

    assert "newer opjudge" in refused(saved, empty_database_url, folder, "newer-backup")


def test_a_backup_of_the_first_schema_is_restored_and_brought_up_to_date(
    saved: Path, world: World, make_world: MakeWorld, empty_database_url: str, folder: Path
) -> None:
    before = shown(world, 200)
    age(saved)

    with restored(saved, empty_database_url, folder, make_world) as again:
        assert shown(again, 200) == before == recomputed(again)
        assert len({again.claim().judgement_id, again.claim().judgement_id}) == 2


LATER_TABLES = ("audit_entry", "canary_run")
LATER_COLUMNS = {
    "judgement": ("user_id", "number", "commitment", "round"),
    "problem_version": ("certificate",),
    "user_account": ("internal",),
}


def age(saved: Path) -> None:
    """As the first release would have written it."""
    with zipfile.ZipFile(saved) as old:
        manifest = json.loads(old.read(archive.MANIFEST))
        members = {name: old.read(name) for name in old.namelist()}
    manifest["schema_version"] = "0001"
    manifest["tables"] = [t for t in manifest["tables"] if t["name"] not in LATER_TABLES]
    for table in manifest["tables"]:
        names, later = list(table["columns"]), LATER_COLUMNS.get(table["name"], ())
        kept = [i for i, name in enumerate(names) if name not in later]
        table["columns"] = {names[i]: table["columns"][names[i]] for i in kept}
        member = f"tables/{table['name']}.jsonl"
        lines = [json.loads(line) for line in members[member].splitlines()]
        content = b"".join(json.dumps([line[i] for i in kept]).encode() + b"\n" for line in lines)
        members[member] = content
    for name in (*(f"tables/{table}.jsonl" for table in LATER_TABLES), archive.MANIFEST):
        del members[name]
    manifest["sha256"] = {name: hashlib.sha256(c).hexdigest() for name, c in members.items()}
    with zipfile.ZipFile(saved, "w") as new:
        for name, each in members.items():
            new.writestr(name, each)
        new.writestr(archive.MANIFEST, json.dumps(manifest))


def test_a_database_in_use_is_left_alone(saved: Path, world: World, folder: Path) -> None:
    before = shown(world, 200)

    with pytest.raises(UserError) as error:
        restore(
            world.services.db, folder / "packages", folder / KEY_FILE, saved, "operator:test", NOW
        )

    assert error.value.code == "database-not-empty"
    assert "another data directory" in error.value.message
    assert shown(world, 200) == before


def test_a_backup_overwrites_nothing(world: World, tmp_path: Path) -> None:
    target = tmp_path / "backup.zip"
    target.write_bytes(b"precious")

    with pytest.raises(UserError) as error:
        back_up(world, target)

    assert error.value.code == "file-exists"
    assert target.read_bytes() == b"precious"
    assert list(tmp_path.glob(".backup.zip*")) == []


def test_the_new_machine_signs_as_the_old_one_did(
    saved: Path, world: World, make_world: MakeWorld, empty_database_url: str, folder: Path
) -> None:
    before = world.get("/keys").json()

    with restored(saved, empty_database_url, folder, make_world) as again:
        assert again.get("/keys").json() == before
        assert again.services.settings.signing_key.stat().st_mode & 0o777 == 0o600


def test_another_key_is_never_replaced(saved: Path, empty_database_url: str, folder: Path) -> None:
    key = folder / "restored" / KEY_FILE
    load_signer(key)
    before = key.read_bytes()
    database = Database(empty_database_url)

    with pytest.raises(UserError) as error:
        restore(database, folder / "packages", key, saved, "operator:test", NOW)

    database.close()
    assert error.value.code == "other-key"
    assert "move it away" in error.value.message
    assert key.read_bytes() == before
    assert not (folder / "packages").exists()


def test_a_backup_from_before_it_held_the_key_is_restored(
    saved: Path, make_world: MakeWorld, empty_database_url: str, folder: Path
) -> None:
    rewrite(saved, without_key)

    with restored(saved, empty_database_url, folder, make_world) as again:
        assert again.get("/keys").status_code == 200, "with a new key"


def without_key(name: str, content: bytes) -> bytes | None:
    if name != archive.MANIFEST:
        return None if name == KEY_FILE else content
    manifest = json.loads(content)
    del manifest["sha256"][KEY_FILE]
    return json.dumps(manifest).encode()


def test_the_workers_token_is_not_in_it(saved: Path, world: World) -> None:
    secret = world.worker_headers["Authorization"].removeprefix("Bearer ").encode()
    with zipfile.ZipFile(saved) as opened:
        assert not any(secret in opened.read(name) for name in opened.namelist())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_copy_of_the_file_of_sqlite_would_not_do(world: World, tmp_path: Path) -> None:
    """Why there is a command for it: what was written last is not in the file."""
    path = world.services.db.engine.url.database
    assert path is not None
    world.judge(world.person("alice"), 2.0)
    copy = tmp_path / "copy.db"
    copy.write_bytes(Path(path).read_bytes())

    with sqlite3.connect(copy) as connection:
        [(people,)] = connection.execute("SELECT count(*) FROM user_account WHERE name = 'alice'")
    assert people == 0

"""A folder that several machines mount: what is tried there, and what a bad one shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import pytest

from kis_assets.lake import volume
from kis_assets.security import mounts
from kis_assets.settings import Settings, SettingsError
from kis_assets.state.shared import open_state
from kis_assets_tests.cli.test_reading_commands import Said

MOUNTS = r"""sysfs /sys sysfs rw 0 0
/dev/vda1 / ext4 rw 0 0
server:/export /mnt/lake nfs4 rw,vers=4.2 0 0
/dev/vdb /mnt/lake/local ext4 rw 0 0
//server/with\040space /mnt/with\040space cifs rw 0 0
you@host: /mnt/ssh fuse.sshfs rw 0 0
overlay /mnt/over overlay rw 0 0
"""


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with those mounts."""
    listed = tmp_path / "mounts"
    listed.write_text(MOUNTS)
    monkeypatch.setattr(mounts, "MOUNTS", listed)


@pytest.mark.parametrize(
    ("path", "kind", "is_network"),
    [
        ("/home/you/data", "ext4", False),
        ("/mnt/lake", "nfs4", True),
        ("/mnt/lake/kis/state", "nfs4", True),
        ("/mnt/lake/local/kis", "ext4", False),
        ("/mnt/lakes", "ext4", False),
        ("/mnt/with space/kis", "cifs", True),
        ("/mnt/ssh/kis", "fuse.sshfs", True),
        ("/mnt/over/kis", "overlay", False),
    ],
)
def test_the_file_system_of_a_path(mounted: None, path: str, kind: str, is_network: bool) -> None:
    assert mounts.kind_of(Path(path)) == kind
    assert mounts.is_network(kind) is is_network


@pytest.mark.parametrize(
    "kind",
    [
        *("nfs", "smb3", "9p", "ceph", "lustre", "fuse.glusterfs", "efs", "afs", "davfs"),
        *("beegfs", "orangefs", "pvfs2", "gfs2", "ocfs2", "coda", "fuse.davfs2"),
        *("virtiofs", "vboxsf", "prl_fs", "vmhgfs", "fuse.vmhgfs-fuse"),
        *("fuse.mountpoint-s3", "fuse.mount-s3", "fuse.goofys", "fuse.s3fs", "fuse.gcsfuse"),
        *("fuse.seaweedfs", "fuse.juicefs", "fuse.JuiceFS", "fuse.rclone", "fuse.lizardfs"),
    ],
)
def test_kinds_that_machines_share(kind: str) -> None:
    assert mounts.is_network(kind)


@pytest.mark.parametrize(
    "kind", ["", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.bindfs"]
)
def test_kinds_of_one_machine(kind: str) -> None:
    assert not mounts.is_network(kind)


def test_state_in_files_is_refused_where_machines_share_the_files(mounted: None) -> None:
    on_it = Settings.load(kis_data_dir="/mnt/lake", data_source_type="mock")
    with pytest.raises(SettingsError, match=r"network file system \(nfs4\).*: set REDIS_URL"):
        open_state(on_it)
    open_state(on_it.model_copy(update={"redis_url": Settings.load(redis_url=REDIS).redis_url}))
    open_state(Settings.load(kis_data_dir="/mnt/lake/local", data_source_type="mock"))


REDIS = "redis://127.0.0.1:1/0"


def test_without_a_list_of_mounts_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "none")
    assert mounts.kind_of(tmp_path) == ""


def states(folder: Path) -> dict[str, str]:
    return {seen.what: seen.state for seen in volume.examine(folder, 0)}


def test_a_good_folder_alone(tmp_path: Path) -> None:
    found = states(tmp_path)
    assert found.pop("other host") == "warn"
    assert set(found.values()) == {"ok"}
    assert len(found) == 8
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_deleted_after_an_hour_and_a_host_at_work_is_not(
    tmp_path: Path,
) -> None:
    common = tmp_path / volume.FOLDER
    for name, age in (("old", 3700), ("new", 60)):
        (common / f"alone-{name}").mkdir(parents=True)
        (common / f"alone-{name}" / "lock").touch()
        (common / f"host-{name}").write_text("7 0 0 0 0")
        (common / f"host-{name}.new").touch()
        at = time.time() - age
        for path in common.glob(f"*-{name}*"):
            os.utime(path, (at, at))
    states(tmp_path)
    assert {path.name for path in common.iterdir()} == {"alone-new", "host-new", "host-new.new"}


class NoLock:
    """A lock of a file system that has none: it is always given."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def acquire(self, **_: object) -> None: ...

    def release(self) -> None: ...

    def __enter__(self) -> NoLock:
        return self

    def __exit__(self, *_: object) -> None: ...


def test_locks_that_are_given_twice_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filelock, "FileLock", NoLock)
    assert states(tmp_path)["locks"] == "fail"


def test_a_rename_that_copies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(self: Path, target: Path) -> None:
        content = self.read_bytes()
        with target.open("wb") as file:
            for at in range(0, len(content), 4096):
                file.write(content[at : at + 4096])
                file.flush()
        self.unlink()

    monkeypatch.setattr(Path, "replace", replace)
    assert states(tmp_path)["renames"] == "fail"


@pytest.mark.parametrize(
    ("name", "what", "state"), [("link", "links", "warn"), ("fsync", "sync", "fail")]
)
def test_what_is_not_supported_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str, state: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, name, refuse)
    assert states(tmp_path)[what] == state


def test_a_clock_that_is_not_this_machines_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = volume.time.time
    monkeypatch.setattr(volume.time, "time", lambda: now() + 300)
    assert states(tmp_path)["times"] == "fail"


BAD = """
import sys
from kis_assets.lake import volume
from kis_assets_tests.lake.test_volume import NoLock
volume.filelock.FileLock = NoLock
"""
RUN = """
import json, sys
from pathlib import Path
from kis_assets.lake import volume
print(json.dumps([list(seen) for seen in volume.examine(Path(sys.argv[1]), 60)]))
"""


@contextmanager
def hosts(folder: Path, code: str) -> Iterator[list[dict[str, list[str]]]]:
    """What two processes at once see of a folder."""
    command = [sys.executable, "-c", code, str(folder)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [json.loads(one.communicate(timeout=120)[0]) for one in both]
    yield [{what: [state, seen] for what, state, seen in one} for one in said]


@pytest.mark.slow
def test_two_hosts_find_each_other_and_exclude_each_other(tmp_path: Path) -> None:
    stale = tmp_path / volume.FOLDER
    stale.mkdir()
    (stale / "host-of-yesterday").write_text("7 0 0 0 0")
    with hosts(tmp_path, RUN) as both:
        for seen in both:
            assert {state for state, _ in seen.values()} == {"ok"}
            assert "200 turns of two hosts" in seen["locks of both"][1]
            assert "sees within" in seen["seen by both"][1]


@pytest.mark.slow
def test_locks_that_do_not_exclude_the_other_host_are_told(tmp_path: Path) -> None:
    with hosts(tmp_path, BAD + RUN) as both:
        for seen in both:
            assert seen["locks of both"][0] == "fail"


@pytest.mark.usefixtures("narrow_terminal")
def test_the_command(tmp_path: Path) -> None:
    lines = {
        line["what"]: line
        for line in Said("doctor", "--volume", str(tmp_path), "--wait", "0", "--json").json
    }
    assert lines["locks"]["state"] == "ok"
    assert "run the same command there" in lines["other host"]["seen"]
    assert "is not a folder" in Said("doctor", "--volume", str(tmp_path / "none")).error

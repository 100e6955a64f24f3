"""What `deploy/Dockerfile` and `deploy/compose.yaml` say, and both carried out without containers.

A place has mounts, processes and a network of its own, as a container has: a root that cannot be
written, and the names of the services in `/etc/hosts`. All services share one, so all ports of
`compose.yaml` are those of 127.0.0.1 there. It needs root and `unshare` of util-linux.
"""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OWN, POSTGRES = "10001", "postgres"
"""The users of the image and of Debian's PostgreSQL."""
POSTGRES_PROGRAMS = "/usr/lib/postgresql/15/bin"


class Step(NamedTuple):
    """An instruction of a Dockerfile."""

    name: str
    rest: str


def dockerfile() -> list[Step]:
    """The instructions of the Dockerfile, each on one line."""
    text = re.sub(r"(?m)^#.*\n", "", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [Step(*line.split(None, 1)) for line in lines if line.strip()]


def of_last_stage(name: str) -> list[str]:
    """The instructions of that name in the stage that becomes the image."""
    steps = dockerfile()
    begin = max(number for number, step in enumerate(steps) if step.name == "FROM")
    return [step.rest for step in steps[begin:] if step.name == name]


def environment() -> dict[str, str]:
    """The image's ENV."""
    pairs = (pair.split("=", 1) for rest in of_last_stage("ENV") for pair in shlex.split(rest))
    return {name: value for name, value in pairs}


def compose() -> dict[str, Any]:
    """`compose.yaml`, with its anchors followed."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


def plain(word: str, given: Mapping[str, str]) -> str:
    """A word as Compose reads it: `${NAME:-else}` is replaced, `$$` is one."""

    def value(match: re.Match[str]) -> str:
        return given.get(match[1], match[2])

    return re.sub(r"\$\{(\w+):-([^}]*)\}", value, word).replace("$$", "$")


class Place:
    """Mounts, processes and a network of its own; all of it ends with `close`.

    Args:
        folder: where it keeps what is written.
        names: what stands for 127.0.0.1 there.
        writable: the only folders beside `/tmp` that can be written; without any all of them can.
        has_own_network: whether it can reach nothing but itself.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str] = (),
        writable: Sequence[str] = (),
        *,
        has_own_network: bool = True,
    ) -> None:
        self.folder = folder
        self._logs: list[Any] = []
        for name in ("opt", "srv", "run", "tmp"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name).chmod(0o1777 if name == "tmp" else 0o755)
        own = {name: folder / name for name in ("hosts", "passwd", "group")}
        for name in ("passwd", "group"):
            if not own[name].exists():
                shutil.copy(f"/etc/{name}", own[name])
        own["hosts"].write_text(f"127.0.0.1 localhost {' '.join(names)}\n", encoding="utf-8")
        for path in writable:
            (folder / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        python = Path(sys.base_prefix)
        setup = f"""
            mount --make-rprivate /
            for it in {" ".join(own)}; do mount --bind {folder}/$it /etc/$it; done
            {f"mount --bind {python} /usr/local" if python != Path("/usr") else ""}
            for it in opt srv run tmp; do mount --bind {folder}/$it /$it; done
            for it in {" ".join(writable)}; do mount --bind {folder}$it $it; done
            mount -o remount,bind,ro /
            {"for it in opt srv run; do mount -o remount,bind,ro /$it; done" if writable else ""}
            {"ip link set lo up" if has_own_network else ""}
            echo ready
            exec sleep infinity
        """
        self._process = subprocess.Popen(
            [
                *("unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc"),
                *(["-n"] if has_own_network else []),
                *("sh", "-ec", textwrap.dedent(setup)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "no place could be made"
        found = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        self.pid = int(found.split()[0])

    def command(self, words: Sequence[str], user: str, folder: str) -> list[str]:
        """The words that run a command there as that user, without any capability."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "--"]
        words = ["env", "-C", folder, *words]
        if user == "root":
            return [*enter, *words]
        group = "--init-groups" if not user.isdecimal() else "--clear-groups"
        who = ["setpriv", "--reuid", user, "--regid", user, group]
        return [*enter, *who, "--bounding-set=-all", "--no-new-privs", "--", *words]

    def run(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        *,
        user: str = OWN,
        folder: str = "/",
        told: str = "",
        seconds: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there until it ends."""
        return subprocess.run(
            self.command(words, user, folder),
            env=dict(environment),
            input=told,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def start(
        self,
        name: str,
        words: Sequence[str],
        environment: Mapping[str, str],
        *,
        user: str = OWN,
        folder: str = "/",
    ) -> subprocess.Popen[bytes]:
        """Begin a command there; what it says is in `<name>.out` and `<name>.err`."""
        out, err = ((self.folder / f"{name}.{it}").open("wb") for it in ("out", "err"))
        self._logs += [out, err]
        return subprocess.Popen(
            self.command(words, user, folder), env=dict(environment), stdout=out, stderr=err
        )

    def enter_network(self) -> int:
        """Take this thread, and what it starts, into its network; gives the way back."""
        back = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        there = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        _set_network(there)
        os.close(there)
        return back

    def leave_network(self, back: int) -> None:
        """Bring this thread back."""
        _set_network(back)
        os.close(back)

    def close(self) -> None:
        """End all that runs there."""
        os.kill(self.pid, signal.SIGKILL)  # the first process: all others end with it
        self._process.wait()
        for log in self._logs:
            log.close()


def _set_network(handle: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(handle, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")


def can_be_made() -> bool:
    """Whether a place can be made here."""
    if sys.platform != "linux" or os.geteuid() or not shutil.which("unshare"):
        return False
    tried = ["unshare", "-m", "-n", "-p", "-f", "true"]
    return not subprocess.run(tried, check=False, capture_output=True).returncode


def build(place: Place) -> None:
    """Carry out the Dockerfile there: its COPY and its RUN, of both stages."""
    (place.folder / "srv" / "build").mkdir(exist_ok=True)
    where = "/srv/build"
    for step in dockerfile():
        words = shlex.split(step.rest)
        if step.name == "COPY" and not words[0].startswith("--"):
            *sources, target = words
            into = place.folder / os.path.join("srv/build", target).lstrip("/")  # noqa: PTH118
            for source in sources:
                _copy(ROOT / source, into, is_folder=target.endswith("/") or len(sources) > 1)
        elif step.name == "RUN":
            names = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp"} | {
                name: value for name, value in os.environ.items() if name.startswith("PIP_")
            }
            done = place.run(["sh", "-ec", step.rest], names, user="root", folder=where)
            assert done.returncode == 0, done.stdout + done.stderr


def _copy(source: Path, into: Path, *, is_folder: bool) -> None:
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, into, ignore=ignored, dirs_exist_ok=True)
        return
    target = into / source.name if is_folder else into
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)

"""Which kind of file system holds a path, and whether several machines may share it."""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/mounts")
NETWORK = re.compile(
    r"nfs[34]?|cifs|smb[23]?|smbfs|9p|afs|coda|ceph|lustre|beegfs|gpfs|glusterfs|davfs|efs|"
    r"orangefs|pvfs2|gfs2|ocfs2|virtiofs|vboxsf|prl_fs|vmhgfs|"
    r"fuse\.(?:sshfs|glusterfs|ceph-fuse|s3fs|gcsfuse|goofys|rclone|juicefs|seaweedfs|mount-s3|"
    r"mountpoint-s3|davfs2?|moosefs|lizardfs|vmhgfs-fuse|blobfuse2?)",
    re.IGNORECASE,
)
"""Types of a network, of a disk that machines share, and of a host that shares with its guests."""


def kind_of(path: Path) -> str:
    """The type of the file system that holds a path, or would; empty if the system does not say."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    there, found = os.path.realpath(path), ("", "")
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), point)
        is_in = there == point or there.startswith(point.rstrip("/") + "/")
        if is_in and len(point) >= len(found[0]):  # a later mount covers an earlier one
            found = point, kind
    return found[1]


def is_network(kind: str) -> bool:
    """Whether several machines may share a file system of this type."""
    return NETWORK.fullmatch(kind) is not None

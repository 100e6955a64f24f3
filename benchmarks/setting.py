"""What everything is measured against: the market's moment, the allowed rate, an app key.

It imports nothing of this project: a process of another client is not to load it.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from zoneinfo import ZoneInfo

AT = datetime(2026, 3, 17, 20, 50, tzinfo=ZoneInfo("Asia/Seoul"))
"""A Tuesday after the last trade."""
RATE = 18.0
"""Requests a second that the server allows an app key."""
SECRET = "s" * 180


def new_key() -> str:
    """An app key that nobody has used: what one client did is no matter of the next one."""
    return str(uuid.uuid4())

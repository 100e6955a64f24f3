"""What a process is given: its variables, the file `.env`, and files that hold a secret each."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from kis_assets.security.text_input import expanded, start_folder, text_of, variables_of
from kis_assets.settings.mistakes import SettingsError

IN_FILES = ("kis_app_key", "kis_app_secret", "krx_api_key", "redis_url")
"""Secrets that a file may hold, named by the variable with `_FILE` behind it."""


def dot_env() -> tuple[Path, dict[str, str]]:
    """The file `.env`, and what it says; nothing where there is none.

    Raises:
        SettingsError: it cannot be read.
    """
    file = start_folder() / ".env"
    try:
        return file, variables_of(file)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def given(written: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """The texts of these settings, by name: the environment's, else those of `.env`.

    Raises:
        SettingsError: a file of a secret cannot be read, or the secret is given twice.
    """
    # By hand: pydantic-settings takes an eighth of the time of a command that asks nobody, for
    # these lines.
    found: dict[str, str] = {}
    for variables in (written, os.environ):
        # What is empty is not set, and what is no setting is somebody else's.
        known = {name.lower(): value for name, value in variables.items() if value.strip()}
        found |= {name: known[name] for name in names & known.keys()}
    return found | _from_files(found)


def dagster_home() -> str:
    """What `DAGSTER_HOME` says, which is Dagster's; empty where it is not set."""
    return os.environ.get("DAGSTER_HOME", "").strip()


def _from_files(found: Mapping[str, str]) -> dict[str, str]:
    """Secrets that lie in files of their own, as Docker and systemd give them."""
    secrets: dict[str, str] = {}
    for name in IN_FILES:
        variable = f"{name.upper()}_FILE"
        if not (path := os.environ.get(variable)):
            continue
        if name in found:
            raise SettingsError(f"{variable} and {name.upper()} are both set: choose one")
        try:
            secrets[name] = text_of(expanded(path)).strip()
        except ValueError as error:
            raise SettingsError(f"{variable}: the file {error}") from None
    return secrets

"""The sources of settings: environment variables, the file `.env`, and files with one secret."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from kis_assets.security.text_input import expanded, start_folder, text_of, variables_of
from kis_assets.settings.mistakes import SettingsError

IN_FILES = ("kis_app_key", "kis_app_secret", "krx_api_key", "redis_url")
"""Secrets that may be in a file of their own. The variable with the suffix `_FILE` names the
file."""


def dot_env() -> tuple[Path, dict[str, str]]:
    """The path of `.env` and its variables; no variables if the file does not exist.

    Raises:
        SettingsError: it cannot be read.
    """
    file = start_folder() / ".env"
    try:
        return file, variables_of(file)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def given(written: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """The values of these settings by name, from the environment or else from `.env`.

    Raises:
        SettingsError: the file of a secret cannot be read, or a secret is set twice.
    """
    # pydantic-settings could do this, but it takes an eighth of the time of a local command.
    found: dict[str, str] = {}
    for variables in (written, os.environ):
        # Empty variables are ignored; so are names that are not settings.
        known = {name.lower(): value for name, value in variables.items() if value.strip()}
        found |= {name: known[name] for name in names & known.keys()}
    return found | _from_files(found)


def dagster_home() -> str:
    """The value of Dagster's variable `DAGSTER_HOME`; empty if it is not set."""
    return os.environ.get("DAGSTER_HOME", "").strip()


def _from_files(found: Mapping[str, str]) -> dict[str, str]:
    """Secrets from files of their own, as Docker and systemd provide them."""
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

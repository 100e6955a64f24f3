"""All settings: variables, defaults and allowed values. Read once, from the environment and `.env`.

This package only reads settings. A wrong value ends the program with one sentence that names the
variable, the value and what is allowed.
"""

from kis_assets.settings.kinds import Credential, Universe
from kis_assets.settings.mistakes import SettingsError
from kis_assets.settings.settings import Settings

__all__ = ["Credential", "Settings", "SettingsError", "Universe"]

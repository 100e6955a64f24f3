"""Every setting: its variable, default and meaning. Read once, from the environment and `.env`.

Nothing here acts on a setting. A wrong value stops the start with one sentence that names the
variable, the value and what is allowed.
"""

from kis_assets.settings.kinds import Credential, Universe
from kis_assets.settings.mistakes import SettingsError
from kis_assets.settings.settings import Settings

__all__ = ["Credential", "Settings", "SettingsError", "Universe"]

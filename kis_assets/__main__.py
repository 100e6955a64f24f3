"""python -m kis_assets is kis-assets."""

from kis_assets.cli import main

main()

"""python -m kis_assets.cli is kis-assets."""

from kis_assets.cli import main

main()

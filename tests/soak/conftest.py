"""The scenarios of `bench` are played here in short, so its folder must be found however pytest was started."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

"""Writes the dashboards as Grafana reads them, here and into the chart.

python -m ops.grafana [--check]
"""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from ops.grafana import overview, platform, truth, venue
from ops.grafana.panel import built

HERE = Path(__file__).parent
FOLDERS = (HERE / "dashboards", HERE.parents[1] / "helm" / "cancel-gateway" / "files" / "dashboards")
BOARDS = (overview.BOARD, venue.BOARD, truth.BOARD, platform.BOARD)


def files() -> dict[Path, str]:
    """Every file that follows from the boards."""
    texts = {f"{board.uid}.json": json.dumps(built(board), cls=JSONEncoder, indent=1) + "\n" for board in BOARDS}
    return {folder / name: text for folder in FOLDERS for name, text in texts.items()}


def main() -> int:
    """Write them, or say which are not as they should be."""
    made = files()
    present = {path for folder in FOLDERS for path in folder.glob("*.json")}
    stale = [path for path, text in made.items() if path not in present or path.read_text() != text]
    if "--check" in sys.argv:
        print(*stale, *(present - made.keys()), sep="\n")
        return int(bool(stale) or present > made.keys())
    for path in present - made.keys():
        path.unlink()
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Writes the dashboards: `python -m tools.dashboards`."""

import json

from lab.paths import REPOSITORY
from tools.dashboards.pipeline import pipeline
from tools.dashboards.requests import requests
from tools.dashboards.services import services

FOLDER = REPOSITORY / "monitoring" / "dashboards"


def written() -> dict[str, str]:
    """Returns the files' texts by their names."""
    made = {"requests": requests(), "services": services(), "pipeline": pipeline()}
    return {f"{name}.json": json.dumps(one, indent=1, ensure_ascii=False) + "\n" for name, one in made.items()}


if __name__ == "__main__":
    for name, text in written().items():
        (FOLDER / name).write_text(text, encoding="utf-8")

"""The lab is no part of the collection: its code and the programs in its images are imported by path."""

from __future__ import annotations

import sys
from pathlib import Path

LAB = Path(__file__).resolve().parents[2] / "lab"

for directory in (LAB, LAB / "images" / "application", LAB / "images" / "services"):
    sys.path.insert(0, str(directory))

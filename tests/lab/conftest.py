"""The tests of the lab itself need its engine and images (unit tests of its code: tests/unit/lab)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

"""Tries to lock an operator out of lab hosts in many ways, and shows how each try ended: `make prove-lockout`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "lab")]

if __name__ == "__main__":
    sys.exit(importlib.import_module("slipway_lockout.cli").main(sys.argv[1:]))

#!/usr/bin/env python3
"""The lab: throwaway hosts and the services around them, in containers on this machine. See the README beside."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

if __name__ == "__main__":
    sys.exit(importlib.import_module("slipway_lab.cli").main(sys.argv[1:]))

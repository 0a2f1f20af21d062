"""A container's health: the stream says at its metrics that it is running."""

from __future__ import annotations

import sys
import urllib.request

with urllib.request.urlopen(sys.argv[1], timeout=3) as page:
    running = b'dayshift_state{dayshift_state="running"} 1.0' in page.read()
sys.exit(0 if running else 1)

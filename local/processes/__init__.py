"""Programs as processes: started, watched and ended, with their ports and files."""

from __future__ import annotations

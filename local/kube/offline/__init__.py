"""A cluster where nothing can be pulled: all of it is built here, or stands in."""

from __future__ import annotations

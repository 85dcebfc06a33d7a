"""The Store's HTTP face: requests in, answers out; the work is done at the desk."""

from __future__ import annotations

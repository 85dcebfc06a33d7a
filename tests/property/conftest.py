"""How property tests are run."""

from __future__ import annotations

from hypothesis import settings

# A machine that is busy with other tests may be late with any example.
settings.register_profile("once", deadline=None)
settings.load_profile("once")

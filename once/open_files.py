"""How many files and connections this process may have open, and what it starts.

The soft limit is 1,024 on most machines and 256 on some; it is there for programs that
use select() on any number. A program may raise it up to the hard one by itself.
"""

from __future__ import annotations

import resource

from once.errors import Defect

ENOUGH = 65_536  # some programs walk through all that they may have


def allow(needed: int, otherwise: str = "") -> None:
    """Raise the limit as far as is of use. Raises Defect below `needed`.

    `otherwise` is what else the user may do about it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    limit = max(limit, needed)
    if soft != resource.RLIM_INFINITY and soft < limit:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(hard, limit)))
        except (OSError, ValueError):  # beyond the hard one, which only root may
            raise Defect(
                f"only {hard} files may be open and {needed} are needed: raise the "
                f"hard limit (ulimit -Hn, /etc/security/limits.conf){otherwise}"
            ) from None

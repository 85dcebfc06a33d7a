"""Fixtures that every folder of tests may use, each kept in a module of its subject."""

from __future__ import annotations

import signal

# What is started from a script in the background, as by `nohup make test &`, ignores
# Ctrl-C, and so does all that it starts: but our programs are interrupted by tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.fix_stack", "tests.fix_platform"]

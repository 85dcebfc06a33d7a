"""Fixtures that every folder of tests may use, each kept in a module of its subject."""

pytest_plugins = ["tests.fix_stack", "tests.fix_platform"]

"""The command line: the composition root that knows both the graph side and the torch side."""

from atlas.cli.app import app, main

__all__ = ["app", "main"]

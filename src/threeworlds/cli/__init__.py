"""The command line: parse, call, print; one command a file. No mathematics here, and nothing imports this room."""

from threeworlds.cli.app import main

__all__ = ["main"]

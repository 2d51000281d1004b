"""The command line, as used by people, the task and the action."""

from kspsign.cli.main import entry

__all__ = ["entry"]

"""What exists because a person, the task or the action typed a command."""

from kspsign.cli.main import entry

__all__ = ["entry"]

"""The options of key store command: the program, its arguments, and what it gets of the environment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from kspsign.settings.store_options import Ambient, Metavar, StoreOptions, VariableNames


class CommandOptions(StoreOptions):
    """The program is code: none of these may come from a file that was not named."""

    key_command: Annotated[str | None, Ambient.REFUSED, Metavar("PROGRAM")] = Field(
        None, description="Program that signs with the key (key store command)."
    )
    key_command_arg: Annotated[tuple[str, ...], Ambient.REFUSED, Metavar("TEXT")] = Field(
        (), description="Argument of that program; repeatable. Never a secret."
    )
    key_command_env: Annotated[tuple[str, ...], Ambient.REFUSED, Metavar("NAME"), VariableNames()] = Field(
        (), description="Variable that the program gets, such as its PIN's; repeatable."
    )
    key_command_workers: Annotated[int, Ambient.REFUSED] = Field(
        1, ge=1, le=64, description="Processes of the program that sign at the same time."
    )
    key_command_timeout: Annotated[int, Ambient.REFUSED, Metavar("SECONDS")] = Field(
        120, ge=1, le=3600, description="Seconds that an answer of the program is waited for."
    )
    key_command_test: Annotated[bool, Ambient.REFUSED] = Field(
        False, description="Doctor: also have the program make test signatures, which may be charged."
    )

    @field_validator("key_command_arg", "key_command_env", mode="before")
    @classmethod
    def _lines_are_items(cls, value: object) -> object:
        return [line.strip() for line in value.splitlines() if line.strip()] if isinstance(value, str) else value

    @property
    def means_synchronised(self) -> bool:
        """Without the program an earlier certsync is meant, which knows it."""
        return self.thumbprint is not None and self.key_command is None

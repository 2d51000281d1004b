"""`kspsign completion SHELL`: the script that completes commands, options and their choices, made from the parser.

Load it where the shell starts: `source <(kspsign completion bash)`, `kspsign completion fish | source`, in PowerShell
`kspsign completion powershell | Out-String | Invoke-Expression`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CompletedOption:
    """An option of a command: its name, its help in one line, its choices, and whether a value follows."""

    name: str
    text: str
    choices: tuple[str, ...]
    takes_value: bool


@dataclass(frozen=True, slots=True)
class CompletedCommand:
    """A command that users type; `words` are the choices of its first argument."""

    name: str
    text: str
    options: tuple[CompletedOption, ...]
    words: tuple[str, ...]


def completion_script(shell: str, parser: argparse.ArgumentParser) -> str:
    """The script for `shell`, one of SHELLS."""
    return SHELLS[shell](tuple(_commands(parser)))


def _commands(parser: argparse.ArgumentParser) -> Iterator[CompletedCommand]:
    """What the parser offers; a command without help is for programs."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001 - argparse names them nowhere else
    for listed in commands._choices_actions:  # noqa: SLF001 - likewise
        command = commands.choices[listed.dest]
        actions = command._actions  # noqa: SLF001 - likewise
        words = (tuple(map(str, action.choices)) for action in actions if not action.option_strings and action.choices)
        yield CompletedCommand(listed.dest, _line(listed.help), tuple(_options(actions)), next(words, ()))


def _options(actions: list[argparse.Action]) -> Iterator[CompletedOption]:
    for action in actions:
        if action.help != argparse.SUPPRESS:
            for name in (name for name in action.option_strings if name.startswith("--")):
                yield CompletedOption(name, _line(action.help), tuple(action.choices or ()), action.nargs != 0)


def _line(text: str | None) -> str:
    return " ".join((text or "").replace("%%", "%").split())


def _bash(commands: tuple[CompletedCommand, ...]) -> str:
    cases = "\n".join(_posix_case(command) for command in commands)
    return f"""\
# bash completion for kspsign
_kspsign() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} options= words= choices=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{" ".join(command.name for command in commands)}" -- "$cur"))
        return
    fi
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
    if [ -n "$choices" ]; then
        COMPREPLY=($(compgen -W "$choices" -- "$cur"))
    elif [[ "$cur" == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
    elif [ -n "$words" ] && [ "$COMP_CWORD" -eq 2 ]; then
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    fi
}}
complete -o default -o bashdefault -F _kspsign kspsign
"""


def _posix_case(command: CompletedCommand) -> str:
    """A case of bash and zsh that sets `options`, `words`, and `choices` by the word before."""
    chosen = "".join(
        f"                {option.name}) choices='{' '.join(option.choices)}' ;;\n"
        for option in command.options
        if option.choices
    )
    inner = f'            case "$prev" in\n{chosen}            esac\n' if chosen else ""
    names = " ".join(option.name for option in command.options)
    return (
        f"        {command.name})\n            options='{names}'\n            words='{' '.join(command.words)}'\n"
        f"{inner}            ;;"
    )


def _zsh(commands: tuple[CompletedCommand, ...]) -> str:
    listed = "\n".join(f"        '{command.name}:{_zsh_text(command.text)}'" for command in commands)
    cases = "\n".join(_posix_case(command) for command in commands)
    return f"""\
#compdef kspsign
_kspsign() {{
    local cur=${{words[CURRENT]}} prev=${{words[CURRENT-1]}} command=${{words[2]}}
    local options= choices=
    local -a listed=(
{listed}
    )
    if (( CURRENT == 2 )); then
        _describe command listed
        return
    fi
    local words=
    case "$command" in
{cases}
    esac
    if [[ -n "$choices" ]]; then
        compadd -- ${{=choices}}
    elif [[ "$cur" == -* ]]; then
        compadd -- ${{=options}}
    elif [[ -n "$words" && CURRENT -eq 3 ]]; then
        compadd -- ${{=words}}
    else
        _files
    fi
}}
compdef _kspsign kspsign
"""


def _zsh_text(text: str) -> str:
    return text.replace("'", "'\\''").replace(":", "\\:")


def _fish(commands: tuple[CompletedCommand, ...]) -> str:
    lines = [
        "# fish completion for kspsign",
        *(f"complete -c kspsign -n __fish_use_subcommand -f -a {one.name} -d {_quoted(one.text)}" for one in commands),
    ]
    for command in commands:
        seen = f"complete -c kspsign -n '__fish_seen_subcommand_from {command.name}'"
        if command.words:
            lines.append(f"{seen} -f -a {_quoted(' '.join(command.words))}")
        for option in command.options:
            value = f" -x -a {_quoted(' '.join(option.choices))}" if option.choices else " -r" * option.takes_value
            lines.append(f"{seen} -l {option.name[2:]}{value} -d {_quoted(option.text)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _powershell(commands: tuple[CompletedCommand, ...]) -> str:
    return f"""\
# PowerShell completion for kspsign
Register-ArgumentCompleter -Native -CommandName kspsign -ScriptBlock {{
    param($wordToComplete, $commandAst, $cursorPosition)
    $commands = [ordered]@{{
{_table((command.name, (command.text,)) for command in commands)}
    }}
    $options = @{{
{_table((command.name, tuple(option.name for option in command.options)) for command in commands)}
    }}
    $words = @{{
{_table((command.name, command.words) for command in commands if command.words)}
    }}
    $choices = @{{
{
        _table(
            (f"{command.name} {option.name}", option.choices)
            for command in commands
            for option in command.options
            if option.choices
        )
    }
    }}
    $given = @($commandAst.CommandElements | ForEach-Object {{ $_.ToString() }})
    $at = if ($wordToComplete) {{ $given.Count - 1 }} else {{ $given.Count }}
    $found = if ($at -le 1) {{ $commands.Keys }}
    elseif ($choices.Contains("$($given[1]) $($given[$at - 1])")) {{ $choices["$($given[1]) $($given[$at - 1])"] }}
    elseif ($wordToComplete -like '-*') {{ $options[$given[1]] }}
    elseif ($at -eq 2) {{ $words[$given[1]] }}
    $found | Where-Object {{ $_ -like "$wordToComplete*" }} | ForEach-Object {{
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }}
}}
"""


def _table(rows: Iterator[tuple[str, tuple[str, ...]]]) -> str:
    """The entries of a hash table of PowerShell."""
    return "\n".join(f"        {_doubled(key)} = {', '.join(map(_doubled, values)) or '@()'}" for key, values in rows)


def _doubled(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


SHELLS: Final[Mapping[str, Callable[[tuple[CompletedCommand, ...]], str]]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
    "powershell": _powershell,
}
"""The shells that are completed, and how."""

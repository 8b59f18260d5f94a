"""`completion`: scripts for shells, made from the parser itself, so that they can't tell of what is not there."""

import shlex
from argparse import Action, ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAME, FUNCTION = "cancel-gateway", "_cancel_gateway"


@dataclass(frozen=True, slots=True)
class Option:
    """A flag; `values` are what may follow it, None where nothing does, and `file` says that a path does."""

    words: tuple[str, ...]
    help: str
    values: tuple[str, ...] | None
    file: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command by its words, as ` audit verify`, with what may stand behind it."""

    path: str
    children: tuple[tuple[str, str], ...]
    options: tuple[Option, ...]
    choices: tuple[str, ...]

    @property
    def words(self) -> Iterator[tuple[str, str]]:
        """Everything that may come next, and what it is for."""
        yield from self.children
        yield from ((choice, "") for choice in self.choices)
        yield from ((word, option.help) for option in self.options for word in option.words)


def add(commands: "_SubParsersAction[ArgumentParser]") -> None:
    """Register the command."""
    completion = commands.add_parser("completion", help="print a completion script, as for `eval` in a shell's profile")
    completion.add_argument("shell", choices=tuple(SHELLS), help="whose language the script is in")
    completion.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Print it."""
    from gateway.cli.commands import command_line

    print(SHELLS[options.shell](tuple(commands_of(command_line()))))
    return 0


def commands_of(parser: ArgumentParser, path: str = "") -> Iterator[Command]:
    """The parser's commands, the outermost first."""
    actions: list[Action] = parser._actions  # noqa: SLF001  argparse has no public way to look at a parser
    below = next((action for action in actions if isinstance(action, _SubParsersAction)), None)
    helps = {each.dest: each.help or "" for each in below._choices_actions} if below else {}  # noqa: SLF001  likewise
    yield Command(
        path,
        tuple((name, helps.get(name, "")) for name in (below.choices if below else ())),
        tuple(_option(action) for action in actions if action.option_strings),
        tuple(str(choice) for action in actions if not action.option_strings and action is not below
              for choice in action.choices or ()),
    )  # fmt: skip
    for name, child in (below.choices if below else {}).items():
        yield from commands_of(child, f"{path} {name}")


def _option(action: Action) -> Option:
    takes = action.nargs != 0
    values = tuple(str(choice) for choice in action.choices or ()) if takes else None
    said = (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")
    return Option(tuple(action.option_strings), said, values, takes and action.type is Path)


# -- what the scripts for bash and zsh have in common --------------------------------------------------------------


def _walk(commands: tuple[Command, ...]) -> Iterator[str]:
    """Finds how deep in the commands we are."""
    yield '    case "$at $word" in'
    known = " | ".join(shlex.quote(command.path) for command in commands if command.path)
    yield f'      {known}) at="$at $word" ;;'
    yield "    esac"


def _valued(commands: tuple[Command, ...]) -> Iterator[tuple[str, Option]]:
    """Options with a value, as `at:option` patterns of a case."""
    for command in commands:
        for option in command.options:
            if option.values is not None:
                yield " | ".join(shlex.quote(f"{command.path}:{word}") for word in option.words), option


def bash(commands: tuple[Command, ...]) -> str:
    """For bash 4 and later."""
    lines = [
        f'# {NAME}: put this into ~/.bashrc:  eval "$({NAME} completion bash)"',
        f"{FUNCTION}() {{",
        '  local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" at="" word words=""',
        "  COMPREPLY=()",
        '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        *_walk(commands),
        "  done",
        '  case "$at:$before" in',
        *(f"    {pattern}) {_bash_value(option)}; return ;;" for pattern, option in _valued(commands)),
        "  esac",
        '  case "$at" in',
        *(f"    {shlex.quote(command.path)}) words={shlex.quote(' '.join(word for word, _ in command.words))} ;;"
          for command in commands),
        "  esac",
        '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
        "}",
        f"complete -o default -F {FUNCTION} {NAME}",
    ]  # fmt: skip
    return "\n".join(lines)


def _bash_value(option: Option) -> str:
    if option.values:
        return f'COMPREPLY=($(compgen -W {shlex.quote(" ".join(option.values))} -- "$current"))'
    return 'COMPREPLY=($(compgen -f -- "$current"))' if option.file else ":"


def zsh(commands: tuple[Command, ...]) -> str:
    """For zsh, with what each word is for."""
    lines = [
        f"#compdef {NAME}",
        f'# {NAME}: put this into ~/.zshrc, after compinit:  eval "$({NAME} completion zsh)"',
        f"{FUNCTION}() {{",
        '  local at="" word',
        "  local -a next",
        '  for word in "${(@)words[2,CURRENT-1]}"; do',
        *_walk(commands),
        "  done",
        '  case "$at:${words[CURRENT-1]}" in',
        *(f"    {pattern}) {_zsh_value(option)}; return ;;" for pattern, option in _valued(commands)),
        "  esac",
        '  case "$at" in',
        *(f"    {shlex.quote(command.path)}) next=({' '.join(_described(*each) for each in command.words)}) ;;"
          for command in commands),
        "  esac",
        f"  _describe {NAME} next || _files",
        "}",
        f"compdef {FUNCTION} {NAME}",
    ]  # fmt: skip
    return "\n".join(lines)


def _zsh_value(option: Option) -> str:
    if option.values:
        return f"compadd -- {' '.join(map(shlex.quote, option.values))}"
    return "_files" if option.file else "_message value"


def _described(word: str, said: str) -> str:
    return shlex.quote(f"{word}:{said.replace(':', ' ')}" if said else word)


def fish(commands: tuple[Command, ...]) -> str:
    """For fish."""
    known = " ".join(shlex.quote(command.path) for command in commands if command.path)
    lines = [
        f"# {NAME}: put this into ~/.config/fish/config.fish:  {NAME} completion fish | source",
        f"function _{FUNCTION}_at",
        "  set -l at ''",
        "  for word in (commandline -opc)[2..]",
        f'    contains -- "$at $word" {known}; and set at "$at $word"',
        "  end",
        '  test "$at" = "$argv[1]"',
        "end",
        f"complete -c {NAME} -f",
    ]
    for command in commands:
        here = f"complete -c {NAME} -n '_{FUNCTION}_at \"{command.path}\"'"
        plain = (*command.children, *((choice, "") for choice in command.choices))
        lines += [f"{here} -a {shlex.quote(word)} -d {_fish_quote(said)}" for word, said in plain]
        lines += [f"{here} {_fish_option(option)} -d {_fish_quote(option.help)}" for option in command.options]
    return "\n".join(lines)


def _fish_option(option: Option) -> str:
    named = [f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}" for word in option.words]
    if option.values is None:
        return " ".join(named)
    return " ".join([*named, "-r -F" if option.file else "-x", *_fish_values(option)])


def _fish_values(option: Option) -> list[str]:
    return ["-a", shlex.quote(" ".join(option.values))] if option.values else []


def _fish_quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}

"""`completion`: each shell completes what the parser knows, and nothing else."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cli_rig import END_S, run

from gateway.cli.commands import MODULES, command_line
from gateway.cli.completion import SHELLS, commands_of

COMMANDS = tuple(commands_of(command_line()))
PATHS = {command.path for command in COMMANDS}


def in_bash(*words: str) -> list[str]:
    """What bash offers for the last of these words."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    script = (
        run("completion", "bash").out
        + '\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cancel_gateway; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    ended = subprocess.run(  # noqa: S603  our own script
        [bash, "-u", "-c", script, "-", "cancel-gateway", *words],
        capture_output=True,
        text=True,
        timeout=END_S,
        check=True,
    )
    assert ended.stderr == ""
    return ended.stdout.split()


def test_bash_offers_commands_and_the_steps_within_them() -> None:
    assert in_bash("sta") == ["status"]
    assert set(in_bash("")) >= {"serve", "cancel", "status", "tail", "kill", "completion"}
    assert set(in_bash("audit", "")) >= {"verify", "export", "replay"}


def test_bash_offers_options_and_their_values() -> None:
    assert in_bash("cancel", "--sy") == ["--symbol"]
    assert in_bash("cancel", "hashkey", "1", "--by", "") == ["order_id", "client_id"]
    assert in_bash("cancel", "hashkey", "1", "--by", "c") == ["client_id"]
    assert in_bash("cancel", "--account", "") == []
    assert set(in_bash("completion", "")) >= set(SHELLS)


def test_bash_offers_files_where_a_file_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").touch()

    assert in_bash("serve", "--config", f"{tmp_path}/gate") == [f"{tmp_path}/gateway.toml"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_option_stands_in_the_script(shell: str) -> None:
    said = run("completion", shell)

    assert (said.code, said.err) == (0, "")
    for command in COMMANDS:
        assert command.path in said.out
        for option in command.options:
            for word in option.words:
                assert re.search(
                    rf"(?<![\w-]){re.escape(word)}\b" if shell != "fish" else rf" -[ls] {word.lstrip('-')}\b", said.out
                )


@pytest.mark.parametrize(("shell", "check"), [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")])
def test_the_shell_itself_can_read_its_script(shell: str, check: str, tmp_path: Path) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"no {shell} here")
    script = tmp_path / "script"
    script.write_text(run("completion", shell).out)

    ended = subprocess.run([found, check, str(script)], capture_output=True, text=True, timeout=END_S, check=False)  # noqa: S603  our own

    assert (ended.returncode, ended.stderr) == (0, "")


def test_what_the_parser_has_is_found_wherever_it_stands() -> None:
    assert {"", " cancel", " audit verify", " secrets put", " tail"} <= PATHS
    by_path = {command.path: command for command in COMMANDS}
    config = next(option for option in by_path[" serve"].options if "--config" in option.words)
    assert (config.file, config.values) == (True, ())
    watch = next(option for option in by_path[" status"].options if "--watch" in option.words)
    assert watch.values is None


@pytest.mark.parametrize("module", MODULES)
def test_a_command_loads_its_own_module_and_finds_itself_there(module: str) -> None:
    for word in MODULES[module]:
        assert [name for name, _ in next(commands_of(command_line(word))).children] == list(MODULES[module])


def test_a_shell_that_nobody_knows_shows_the_usage() -> None:
    assert run("completion", "cmd").code == 2

"""`completion`: each shell completes what the parser knows, and nothing else."""

import os
import re
import select
import shutil
import subprocess
import time
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


def in_fish(line: str, folder: Path) -> list[str]:
    """What fish itself offers at the end of a line."""
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("no fish here (apt-get install fish)")
    (folder / "script.fish").write_text(run("completion", "fish").out)
    ended = subprocess.run(  # noqa: S603  our own script
        [fish, "--no-config", "-c", f"source {folder}/script.fish; complete -C '{line}'"],
        capture_output=True, text=True, timeout=END_S, check=True, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert ended.stderr == ""
    return [each.partition("\t")[0] for each in ended.stdout.splitlines()]


def in_zsh(line: str, folder: Path) -> str:
    """What stands on the line after a Tab, typed into a real zsh on a terminal of its own."""
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("no zsh here (apt-get install zsh)")
    (folder / "script.zsh").write_text(run("completion", "zsh").out)
    ours, theirs = os.openpty()
    environment = {"TERM": "dumb", "HOME": str(folder), "ZDOTDIR": str(folder), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(  # noqa: S603  likewise
        [zsh, "-f", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as shell:
        try:
            os.write(ours, ZSH_BEGINS.format(folder=folder).encode())
            said_until(ours, "re" + "ady")
            os.write(ours, f"{line}\t\r".encode())
            return said_until(ours, ":end").rpartition("has:")[2].removesuffix(":end")
        finally:
            shell.kill()
            os.close(ours)
            os.close(theirs)


ZSH_BEGINS = (
    "autoload -Uz compinit; compinit -u -D; source {folder}/script.zsh; "
    'cancel-gateway() {{ print -r -- "has:$*:"end }}; print re""ady\r'
)


def said_until(terminal: int, mark: str) -> str:
    """All that comes up to a mark."""
    said, deadline = "", time.monotonic() + END_S
    while mark not in said:
        assert time.monotonic() < deadline, said
        if select.select([terminal], [], [], 0.1)[0]:
            said += os.read(terminal, 65536).decode(errors="replace")
    return said[: said.index(mark) + len(mark)]


def test_fish_offers_commands_options_values_and_files(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").touch()

    assert in_fish("cancel-gateway sta", tmp_path) == ["status"]
    assert set(in_fish("cancel-gateway ", tmp_path)) >= {"serve", "cancel", "status", "tail", "kill", "completion"}
    assert set(in_fish("cancel-gateway audit ", tmp_path)) == {"verify", "export", "replay"}
    assert in_fish("cancel-gateway cancel --sy", tmp_path) == ["--symbol"]
    assert set(in_fish("cancel-gateway cancel hashkey 1 --by ", tmp_path)) == {"order_id", "client_id"}
    assert set(in_fish("cancel-gateway completion ", tmp_path)) == set(SHELLS)
    assert in_fish("cancel-gateway kill --account ", tmp_path) == []
    assert in_fish(f"cancel-gateway serve --config {tmp_path}/gate", tmp_path) == [f"{tmp_path}/gateway.toml"]


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("sta", "status"),
        ("audit v", "audit verify"),
        ("cancel --sy", "cancel --symbol"),
        ("cancel hashkey 1 --by c", "cancel hashkey 1 --by client_id"),
        ("completion z", "completion zsh"),
        ("serve --config {}/gate", "serve --config {}/gateway.toml"),
    ],
)
def test_zsh_completes_commands_options_values_and_files(line: str, whole: str, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").touch()

    assert in_zsh("cancel-gateway " + line.format(tmp_path), tmp_path) == whole.format(tmp_path)


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

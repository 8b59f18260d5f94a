"""check-config, secrets and token, as a person types them."""

import hashlib
import os
import pty
import select
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from plain_cli import main

from gateway.backends.credentials.sealed import SealedFile
from gateway.core.access import Caller, by_token
from gateway.core.model import Account, VenueId

MARKER = "hunter2"
PASSPHRASE = "correct horse"
DESK = Account(VenueId("plain"), "desk-a")
CONFIG = f"""
[callers.desk-a]
token_sha256 = "{"ab" * 32}"
allow = ["plain:*"]
[venues.plain]
base_url = "https://venue.example"
[secrets]
sealed_file = "desk.sealed"
"""
PROGRAM = [sys.executable, str(Path(__file__).parents[1] / "plain_cli.py")]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good settings file, and the passphrase in the environment."""
    monkeypatch.setenv("CANCEL_GATEWAY_PASSPHRASE", PASSPHRASE)
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG)
    return path


def kept(config: Path) -> dict[str, str]:
    """What the sealed file holds for the desk."""
    return dict(SealedFile(config.parent / "desk.sealed", PASSPHRASE).open().entries[DESK].fields)


def put(config: Path, content: str, *, venue: str = "plain", account: str = "desk-a") -> int:
    file = config.parent / "material.json"
    file.write_text(content)
    return main(["secrets", "put", venue, account, "--config", str(config), "--file", str(file)])


def test_good_file_is_ok(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["check-config", str(config)])

    assert code == 0
    assert capsys.readouterr() == (f"{config}: ok, serves plain to 1 caller(s)\n", "")


def test_bad_file_tells_every_fault_on_a_line_of_its_own(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(CONFIG + '[server]\nlisten = "x"\ndrain_seconds = 700\n[redis]\nurl = "x"\n')

    code = main(["check-config", str(config)])

    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert [line.partition(":")[0] for line in told.err.splitlines()] == [
        "server.listen",
        "server.drain_seconds",
        "redis.url",
    ]
    assert "server.drain_seconds: is out of range; give a whole number from 0 to 600" in told.err


def test_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["check-config", str(tmp_path / "nowhere.toml")])

    assert code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_put_stores_and_list_shows_no_value(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = [put(config, f'{{"key": "{MARKER}"}}'), put(config, '{"key": "k"}', account="desk-b")]
    codes.append(main(["secrets", "list", "--config", str(config)]))

    told = capsys.readouterr()
    assert codes == [0, 0, 0]
    assert told.out.splitlines()[-2:] == ["plain\tdesk-a\tchange 1", "plain\tdesk-b\tchange 2"]
    assert MARKER not in told.out + told.err
    assert kept(config) == {"key": MARKER}


def test_list_can_be_narrowed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert put(config, '{"key": "k"}') == put(config, '{"key": "k"}', account="desk-b") == 0
    capsys.readouterr()

    code = main(["secrets", "list", "plain", "desk-b", "--config", str(config)])

    assert (code, capsys.readouterr().out) == (0, "plain\tdesk-b\tchange 2\n")


def test_rm_forgets(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert put(config, '{"key": "k"}') == 0

    codes = [main(["secrets", "rm", "plain", "desk-a", "--config", str(config)]) for _ in range(2)]

    assert codes == [0, 2]
    assert capsys.readouterr().err == "nothing is stored under plain desk-a\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f'{{"key": "short", "{MARKER}x": "y"}}', "is unknown to plain; it takes key, user"),
        ('{"key": "short"}', "field key is too short; nothing was stored"),
        ("{}", "field key is missing; nothing was stored"),
        (f'{{"key": ["{MARKER}"]}}', "field key is no string; give one JSON object"),
        (MARKER, "the credential is not valid JSON"),
    ],
)
def test_material_that_cannot_sign_is_not_stored(
    config: Path, content: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = put(config, content)

    assert code == 2
    assert words in capsys.readouterr().err
    assert not (config.parent / "desk.sealed").exists()


@pytest.mark.parametrize(
    ("venue", "account", "words"),
    [("plane", "desk-a", "VENUE: is none of plain"), ("plain", "../desk", "ACCOUNT: is no valid name")],
)
def test_name_that_cannot_be_is_refused(
    config: Path, venue: str, account: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = put(config, '{"key": "k"}', venue=venue, account=account)

    assert code == 2
    assert words in capsys.readouterr().err


def test_wrong_passphrase_is_one_line(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert put(config, '{"key": "k"}') == 0
    monkeypatch.setenv("CANCEL_GATEWAY_PASSPHRASE", "wrong")

    code = main(["secrets", "list", "--config", str(config)])

    err = capsys.readouterr().err
    assert code == 2
    assert "wrong passphrase" in err
    assert len(err.splitlines()) == 1


def test_other_provider_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(CONFIG + 'provider = "files"\ndirectory = "."\n')

    code = main(["secrets", "list", "--config", str(config)])

    assert code == 2
    assert "these commands are for sealed" in capsys.readouterr().err


def test_missing_material_file_is_one_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["secrets", "put", "plain", "desk-a", "--config", str(config), "--file", "/nowhere.json"])

    assert (code, capsys.readouterr().err) == (2, "/nowhere.json: cannot be read: No such file or directory\n")


def test_put_reads_standard_input(config: Path) -> None:
    done = subprocess.run(  # noqa: S603  our own program
        [*PROGRAM, "secrets", "put", "plain", "desk-a", "--config", str(config)],
        input=b'{"key": "piped"}',
        capture_output=True,
        check=False,
        timeout=30,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert kept(config) == {"key": "piped"}


def test_put_on_a_terminal_asks_without_echo(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CANCEL_GATEWAY_PASSPHRASE")
    terminal, far_end = pty.openpty()
    words = shlex.join([*PROGRAM, "secrets", "put", "plain", "desk-a", "--config", str(config)])
    place = os.ttyname(far_end)
    # The first terminal that a new session opens becomes its own, which is where getpass asks.
    process = subprocess.Popen(f"exec {words} <{place} >{place} 2>&1", shell=True, start_new_session=True)  # noqa: S602
    shown = b""
    for prompt, answer in (
        (b"sealed file: ", PASSPHRASE),
        (b"The same again: ", PASSPHRASE),
        (b"key: ", MARKER),
        (b"user: ", ""),
    ):
        while not shown.endswith(prompt):
            assert select.select([terminal], [], [], 20)[0], shown
            shown += os.read(terminal, 1024)
        assert os.write(terminal, f"{answer}\n".encode())
    while b"stored plain desk-a" not in shown:
        assert select.select([terminal], [], [], 20)[0], shown
        shown += os.read(terminal, 1024)
    status = process.wait(30)
    os.close(terminal)
    os.close(far_end)

    assert status == 0
    assert MARKER.encode() not in shown
    assert PASSPHRASE.encode() not in shown
    assert kept(config) == {"key": MARKER}


def test_new_token_is_the_one_that_the_lines_let_in(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["token", "new", "desk-a"])

    lines = capsys.readouterr().out.splitlines()
    token = lines[1]
    digest = lines[-1].removeprefix('token_sha256 = "').removesuffix('"')
    assert code == 0
    assert token.startswith("cgw_")
    assert len(token) == 47
    assert lines[-2] == "[callers.desk-a]"
    assert digest == hashlib.sha256(token.encode()).hexdigest()
    assert by_token(token, [Caller("desk-a", token_sha256=(digest,))]) is not None


def test_token_for_a_name_with_dots_is_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "new", "desk.a"]) == 0

    assert '[callers."desk.a"]' in capsys.readouterr().out


def test_token_for_no_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["token", "new", "desk a"])

    assert code == 2
    assert capsys.readouterr().out == ""

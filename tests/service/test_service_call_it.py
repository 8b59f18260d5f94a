"""docs/call-it.md: every snippet is run, or compiled where its tool is there, against a real gateway."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from service_process import token_of
from service_rig import Rig

PAGE = Path(__file__).parents[2] / "docs" / "call-it.md"
# What of TypeScript this node may not know: in the snippet it stands in these forms only.
TYPES = re.compile(r"^type .*?;\n|: (?:string|number|Answer|Promise<Answer>)(?=[,) ])| as Answer", re.MULTILINE)


def snippets(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def tool(name: str) -> str:
    """Where a tool is; skips where it is not."""
    if (found := shutil.which(name)) is None:
        pytest.skip(f"{name} is not on this machine, so its snippet is not tried")
    return found


async def ran(rig: Rig, *command: str, caller: str = "desk", **more: str) -> str:
    """What a command prints, with an order that it may cancel."""
    order = (await rig.order("hashkey"))["order_id"]
    named = {"CANCEL_GATEWAY_URL": rig.gateway.url, "CANCEL_GATEWAY_TOKEN": token_of(caller), "ORDER": order}
    said = subprocess.run(  # noqa: ASYNC221, S603  the gateway is a process of its own; these are our own snippets
        command, capture_output=True, text=True, check=False, timeout=50, env=os.environ | named | more
    )
    assert said.returncode == 0, said
    return said.stdout


async def test_first_curl_cancels(rig: Rig) -> None:
    said = await ran(rig, tool("bash"), "-euc", snippets("sh")[0])

    assert json.loads(said)["outcome"] == "cancelled"


async def test_second_curl_reads_the_record(rig: Rig) -> None:
    said = await ran(rig, tool("bash"), "-euc", snippets("sh")[1])

    assert (json.loads(said)["state"], json.loads(said)["outcome"]) == ("terminal", "cancelled")


async def test_python_snippets_run(rig: Rig) -> None:
    one, many = snippets("python")

    first = await ran(rig, sys.executable, "-c", one)
    nobody = await ran(
        rig, sys.executable, "-c", one.replace('os.environ["CANCEL_GATEWAY_URL"]', '"http://127.0.0.1:1"')
    )
    wide = await ran(rig, sys.executable, "-c", many, caller="chief")

    assert first == "gone\n"
    assert nobody.startswith("no gateway")
    assert "forbidden" in wide


async def test_python_snippet_for_many_clears_the_account(rig: Rig) -> None:
    one = snippets("python")[1].replace(", urgent=True", "")

    said = await ran(rig, sys.executable, "-c", one, caller="killer")

    assert " cancelled\n" in said
    assert "cancelled proven\n" in said
    assert "'cancel':" in said


async def test_python_snippet_is_typed(tmp_path: Path) -> None:
    files = [tmp_path / f"snippet_{number}.py" for number, _ in enumerate(snippets("python"))]
    for file, code in zip(files, snippets("python"), strict=True):
        file.write_text(code)

    said = subprocess.run(  # noqa: ASYNC221, S603  as above
        [sys.executable, "-m", "mypy", "--config-file", os.devnull, "--strict", *map(str, files)],
        capture_output=True, text=True, check=False, cwd=PAGE.parents[1],
    )  # fmt: skip

    assert said.returncode == 0, said.stdout


async def test_java_snippet_runs(rig: Rig, tmp_path: Path) -> None:
    java = tool("java")
    tool("javac")
    (tmp_path / "CancelIt.java").write_text(snippets("java")[0])

    assert await ran(rig, java, str(tmp_path / "CancelIt.java")) == "cancelled\n"


async def test_typescript_snippet_runs_without_its_types(rig: Rig, tmp_path: Path) -> None:
    node = tool("node")
    (tmp_path / "cancel.mjs").write_text(TYPES.sub("", snippets("ts")[0]))

    assert await ran(rig, node, str(tmp_path / "cancel.mjs")) == "cancelled\n"


async def test_go_snippet_runs(rig: Rig, tmp_path: Path) -> None:
    go = tool("go")
    (tmp_path / "main.go").write_text(snippets("go")[0])

    assert await ran(rig, go, "run", str(tmp_path / "main.go"), GOCACHE=str(tmp_path / "cache")) == "cancelled\n"

"""`healthcheck`: what a container's HEALTHCHECK runs."""

from pathlib import Path

from cli_rig import demo_running, run


def test_a_process_that_answers_is_healthy(tmp_path: Path) -> None:
    with demo_running(tmp_path) as demo:
        said = run("healthcheck", "--url", f"{demo.admin_url}/healthz")

    assert (said.code, said.out, said.err) == (0, "", "")


def test_another_status_is_not_healthy(tmp_path: Path) -> None:
    with demo_running(tmp_path) as demo:
        said = run("healthcheck", "--url", f"{demo.admin_url}/nothing-here")

    assert (said.code, said.err) == (1, "answered 404\n")


def test_nobody_there_is_not_healthy() -> None:
    said = run("healthcheck", "--url", "http://127.0.0.1:9/healthz")

    assert said.code == 1
    assert said.err.startswith("no answer: ")


def test_an_address_that_is_none_is_a_wrong_call() -> None:
    assert run("healthcheck", "--url", "127.0.0.1:9090").code == 2

"""`kill`, and `cancel` with several references: what somebody on call types, against a real gateway."""

import json
from collections.abc import Iterator

import pytest
from cli_rig import Demo, demo_running, run

OK, REFUSED, USAGE, NOT_PROVEN = 0, 1, 2, 3


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with demo_running(tmp_path_factory.mktemp("demo")) as running:
        yield running


def test_without_a_terminal_the_plan_is_shown_and_nothing_is_sent(demo: Demo) -> None:
    order = demo.new_order("hashkey")

    said = demo.run("kill", "hashkey")

    assert (said.code, said.out) == (USAGE, "")
    assert "open orders" in said.err
    assert "say --yes" in said.err
    assert demo.run("cancel", *order.words).out.startswith("cancelled")


def test_yes_clears_the_account_and_says_that_it_is_proven(demo: Demo) -> None:
    demo.new_order("orderly")

    said = demo.run("kill", "orderly", "--yes")

    assert (said.code, said.err) == (OK, "")
    assert said.out.startswith("cancelled  orderly:desk-a  nothing is open any more\nstill open: 0; 2 requests\n")
    assert "record: " in said.out
    assert "note: conditional" in said.out


def test_json_and_plan_are_as_they_came(demo: Demo) -> None:
    demo.new_order("etna")

    plan = json.loads(demo.run("kill", "etna", "--plan", "--json").out)
    done = json.loads(demo.run("kill", "etna", "--yes", "--json", "--symbol", "AAPL").out)

    assert (plan["plan"], plan["strategy"]) == (True, "singles")
    assert (done["proven"], done["open_after"]) == (True, 0)


def test_what_is_not_proven_has_an_exit_code_of_its_own(demo: Demo) -> None:
    demo.new_order("orderly")
    demo.control("orderly", "faults", {"faults": [{"kind": "delayed_state", "ms": 5000}]})

    said = demo.run("kill", "orderly", "--yes", "--timeout-ms", "300")

    demo.control("orderly", "faults", {"faults": []})
    assert said.code == NOT_PROVEN
    assert "NOT PROVEN" in said.out


@pytest.mark.parametrize("venue", ["b2trader", "nasdaq"])
def test_what_cannot_be_is_refused(demo: Demo, venue: str) -> None:
    said = demo.run("kill", venue, "--yes")

    assert (said.code, said.out) == (REFUSED, "")
    assert len(said.err.splitlines()) == 1


def test_several_references_are_cancelled_in_one_call(demo: Demo) -> None:
    refs = [demo.new_order("hashkey").ref for _ in range(3)]

    said = demo.run("cancel", "hashkey", *refs, "--by", "order_id")
    again = demo.run("cancel", "hashkey", refs[0], "1", "--by", "order_id")

    assert said.code == OK
    assert sorted(line.split()[2] for line in said.out.splitlines() if "hashkey:" in line) == sorted(refs)
    assert again.code == REFUSED
    assert "not_found" in again.err


def test_a_plan_or_a_key_is_for_one_order(demo: Demo) -> None:
    assert demo.run("cancel", "hashkey", "1", "2", "--plan").code == USAGE


def test_where_nobody_listens_it_is_said(demo: Demo) -> None:
    del demo
    for words in (("kill", "etna", "--yes"), ("cancel", "etna", "1", "2")):
        assert run(*words, url="http://127.0.0.1:1", token="t").code == 4

"""Who gets in, what stands where, and what the contract says of itself. The service is a process."""

import pytest
from service_process import token_of
from service_rig import Rig

REF = "00000000000000000000000000"
TARGETS = (
    ("DELETE", f"/orders/b2trader/{REF}?by=order_id"),
    ("DELETE", f"/orders/b2trader/{REF}?plan=true"),
    ("DELETE", f"/orders/nowhere/{REF}"),
    ("DELETE", "/orders/b2trader/%2e%2e"),
    ("GET", f"/cancels/{REF}.b2trader.desk-a"),
    ("GET", "/venues"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/metrics"),
    ("GET", "/nothing"),
    ("POST", "/orders/b2trader/x"),
)
NO_TOKEN = (
    None,
    "",
    "Bearer",
    "Bearer ",
    "Bearer wrong",
    "Bearer " + "a" * 7000,
    f"Basic {token_of('desk')}",
    f"Token {token_of('desk')}",
    token_of("desk"),
    f"Bearer {token_of('desk')}x",
    f"Bearer {token_of('desk')[:-1]}",
    f"Bearer {token_of('desk').upper()}",
    f"Bearer {token_of('desk')}, Bearer {token_of('desk')}",
    f"Bearer {token_of('desk')} {token_of('desk')}",
    "Bearer caf\u00e9",
    "Bearer desk",
)


@pytest.mark.parametrize("authorization", NO_TOKEN)
async def test_nobody_gets_in_without_a_valid_token_and_nothing_is_touched(rig: Rig, authorization: str | None) -> None:
    before = await rig.touched()
    headers = {} if authorization is None else {"Authorization": authorization}

    said = [await rig.stranger().call(method, target, headers) for method, target in TARGETS]

    assert {(each.status, each.outcome) for each in said} == {(401, "unauthenticated")}
    assert {each.headers["WWW-Authenticate"].partition(" ")[0] for each in said} == {"Bearer"}
    assert {each.headers["Content-Type"] for each in said} == {"application/problem+json"}
    assert all(each.headers["X-Request-ID"] == each.json["request_id"] for each in said)
    assert await rig.touched() == before


async def test_scheme_is_taken_in_any_case(rig: Rig) -> None:
    said = await rig.stranger().call("GET", "/venues", {"Authorization": f"bEARER {token_of('desk')}"})

    assert said.status == 200


@pytest.mark.parametrize(
    ("caller", "venue", "headers", "query"),
    [
        ("reader", "b2trader", {}, {}),
        ("chief", "b2trader", {}, {}),
        ("narrow", "b2trader", {}, {}),
        ("narrow", "orderly", {}, {"account": "desk-b"}),
        ("narrow", "orderly", {}, {"account": "desk-z"}),
        ("other", "b2trader", {"Priority": "u=0"}, {}),
        ("other", "b2trader", {"Priority": "u=0"}, {"plan": "true"}),
        ("narrow", "b2trader", {}, {"plan": "true"}),
    ],
)
async def test_caller_without_the_right_is_refused_and_nothing_is_touched(
    rig: Rig, caller: str, venue: str, headers: dict[str, str], query: dict[str, str | None]
) -> None:
    before = await rig.touched()

    said = await rig.desk(caller).cancel(venue, "1" if venue == "orderly" else REF, headers, **query)

    assert (said.status, said.outcome) == (403, "forbidden")
    assert said.headers["Content-Type"] == "application/problem+json"
    assert await rig.touched() == before


@pytest.mark.parametrize("target", ["/venues", f"/cancels/{REF}.orderly.desk-a"])
async def test_reading_needs_its_permission(rig: Rig, target: str) -> None:
    before = await rig.touched()

    said = await rig.desk("narrow").call("GET", target)

    assert (said.status, said.outcome) == (403, "forbidden")
    assert await rig.touched() == before


@pytest.mark.parametrize(
    "query",
    [
        "unknown=1", "by=order_id&dry_run=1", "BY=order_id", "plan=yes", "by=orderid", "wait=forever",
        "by=order_id&by=order_id", "account=", "account=a%2fb", "%00=1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", [f"/orders/b2trader/{REF}"])
async def test_query_that_is_not_understood_is_refused_by_name(rig: Rig, target: str, query: str) -> None:
    before = await rig.touched()

    said = await rig.desk().call("DELETE", f"{target}?{query}")

    assert (said.status, said.outcome) == (400, "invalid_request")
    named = query.rpartition("&")[2].partition("=")[0].replace("%00", "\\x00")
    assert named in said.json["detail"]
    assert await rig.touched() == before


@pytest.mark.parametrize("target", ["/venues?x=1", f"/cancels/{REF}.orderly.desk-a?by=x"])
async def test_query_where_none_belongs_is_refused_by_name(rig: Rig, target: str) -> None:
    said = await rig.desk().call("GET", target)

    assert (said.status, said.outcome) == (400, "invalid_request")
    assert target.partition("?")[2][:1] in said.json["detail"]


@pytest.mark.parametrize(("venue", "ref"), [("orderly", "123"), ("hashkey", "123"), ("loopring", "123")])
async def test_digits_that_may_be_either_name_are_never_guessed(rig: Rig, venue: str, ref: str) -> None:
    before = await rig.touched()

    said = await rig.desk().cancel(venue, ref, by=None)

    assert (said.status, said.outcome) == (400, "ambiguous_ref")
    assert await rig.touched() == before


async def test_orderly_without_its_symbol_is_refused_clearly(rig: Rig) -> None:
    said = await rig.desk().cancel("orderly", "123", symbol=None)

    assert (said.status, said.outcome) == (400, "invalid_request")
    assert "symbol" in said.json["detail"]


@pytest.mark.parametrize("venue", ["etna", "b2trader"])
async def test_client_id_where_the_venue_has_none_is_refused(rig: Rig, venue: str) -> None:
    said = await rig.desk().cancel(venue, "1", by="client_id")

    assert (said.status, said.outcome) == (400, "invalid_request")


async def test_body_on_a_cancel_is_refused(rig: Rig) -> None:
    before = await rig.touched()

    said = await rig.desk().call("DELETE", f"/orders/b2trader/{REF}", body=b"{}")

    assert (said.status, said.outcome) == (400, "invalid_request")
    assert await rig.touched() == before


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "HEAD", "OPTIONS"])
async def test_wrong_method_is_405_and_says_which_is_right(rig: Rig, method: str) -> None:
    said = await rig.desk().call(method, f"/orders/b2trader/{REF}")

    assert (said.status, said.headers["Allow"]) == (405, "DELETE")
    assert said.headers["X-Request-ID"]
    if method != "HEAD":
        assert (said.headers["Content-Type"], said.json["status"]) == ("application/problem+json", 405)


@pytest.mark.parametrize(
    "target", ["/", "/nothing", "/orders", "/orders/b2trader/a/b", "/cancels/", "/venues/", "//venues", "/metrics"]
)
async def test_path_that_is_none_is_404(rig: Rig, target: str) -> None:
    said = await rig.desk().call("GET", target)

    assert (said.status, said.json["status"], said.json["type"][:19]) == (404, 404, "urn:cancel-gateway:")
    assert said.headers["Content-Type"] == "application/problem+json"
    assert said.outcome != "not_found"  # that would be the venue's word about an order


# -- the admin listener ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/healthz", "/readyz", "/metrics"])
async def test_admin_listener_answers_without_a_token(rig: Rig, target: str) -> None:
    said = await rig.admin.call("GET", target)

    assert said.status == 200


@pytest.mark.parametrize("target", ["/healthz", "/readyz"])
async def test_health_answers_callers_without_a_token(rig: Rig, target: str) -> None:
    said = await rig.stranger().call("GET", target)

    assert (said.status, bool(said.headers["X-Request-ID"])) == (200, True)


async def test_readiness_names_each_component(rig: Rig) -> None:
    said = await rig.admin.call("GET", "/readyz")

    told = said.json
    assert (told["ready"], told["draining"]) == (True, False)
    assert {name: part["ok"] for name, part in told["components"].items()} == {
        "redis": True, "secrets": True, "clock": True, "venues": True,
    }  # fmt: skip


@pytest.mark.parametrize("target", [f"/orders/b2trader/{REF}", "/venues"])
async def test_admin_listener_serves_no_caller(rig: Rig, target: str) -> None:
    said = await rig.admin.call("DELETE" if "orders" in target else "GET", target)

    assert said.status == 404


async def test_metrics_have_the_documented_names(rig: Rig) -> None:
    names = {name.partition("{")[0] for name in await rig.metrics()}

    assert {
        f"cancel_gateway_{name}"
        for name in (
            "requests_total", "request_seconds_count", "phase_seconds_count", "time_to_terminal_seconds_count",
            "queue_depth", "queue_wait_seconds_count", "slots_total", "window_peak_ratio", "batch_size_count",
            "degraded", "unknown_resolved_total", "hidden_resends_total", "credential_refresh_total",
            "credential_age_seconds", "redis_seconds_count", "redis_errors_total", "build_info",
        )
    } <= names  # fmt: skip

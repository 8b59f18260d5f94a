"""What the service says of its own contract, held against what it answers. The service is a process."""

import re
from typing import Any

from service_rig import Rig, Said

from gateway.sandbox.config import VENUE_IDS

KINDS: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}


async def test_docs_page_works_offline(rig: Rig) -> None:
    said = await rig.desk().call("GET", "/docs")

    page = said.body.decode()
    assert (said.status, said.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|<script|@import|url\(", page)
    assert "default-src 'none'" in said.headers["Content-Security-Policy"]
    assert all(venue in page for venue in VENUE_IDS)


async def _answers(rig: Rig) -> list[tuple[str, str, Said]]:
    """What the paths of the contract answer, of every kind that can be had without faults."""
    desk, cancel = rig.desk(), "/orders/{venue}/{ref}"
    order, filled = await rig.order("hashkey"), await rig.order("orderly", status="filled")
    taken = await rig.order("etna")
    record = (await desk.cancel("hashkey", order["order_id"])).json["record"]
    key = {"Idempotency-Key": f"openapi-{order['order_id']}"}
    cancels = [
        await desk.cancel("hashkey", order["order_id"], key),
        await desk.cancel("hashkey", filled["order_id"], key),
        await desk.cancel("orderly", filled["order_id"]),
        await desk.cancel("etna", taken["order_id"]),
        await desk.cancel("etna", taken["order_id"], plan="true"),
        await desk.cancel("etna", "1"),
        await desk.cancel("etna", "x"),
        await desk.cancel("nowhere", "1"),
        await rig.desk("reader").cancel("etna", "1"),
        await rig.stranger().cancel("etna", "1"),
    ]
    assert {said.status for said in cancels} == {200, 202, 400, 401, 403, 404, 409, 422}
    reads = [
        (path, await who.call("GET", target))
        for path, target in (("/cancels/{id}", record), ("/venues", "/venues"))
        for who in (desk, rig.desk("narrow"), rig.stranger())
    ]
    reads += [("/cancels/{id}", await desk.call("GET", "/cancels/x")), ("/venues", await desk.call("GET", "/venues?a"))]
    return [("delete", cancel, said) for said in cancels] + [("get", path, said) for path, said in reads]


async def test_openapi_document_holds_against_what_is_answered(rig: Rig) -> None:
    document = (await rig.desk().call("GET", "/openapi.json")).json

    for method, path, said in await _answers(rig):
        documented = document["paths"][path][method]["responses"][str(said.status)]
        content = documented["content"][said.headers["Content-Type"].partition(";")[0]]
        assert fits(said.json, content["schema"], document) == [], (path, said.status)


def fits(value: Any, schema: dict[str, Any], document: dict[str, Any], at: str = "$") -> list[str]:
    """What of a value a schema forbids; knows the keywords that our document uses."""
    if ref := schema.get("$ref"):
        name = ref.removeprefix("#/components/schemas/")
        return fits(value, document["components"]["schemas"][name], document, at)
    if choices := schema.get("oneOf") or schema.get("anyOf"):
        found = [fits(value, choice, document, at) for choice in choices]
        return [] if [] in found else min(found, key=len)
    wrong = []
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        wrong.append(f"{at} is no {kinds}")
    if "enum" in schema and value not in schema["enum"]:
        wrong.append(f"{at} is none of {schema['enum']}")
    if isinstance(value, dict):
        wrong += [f"{at}.{name} is missing" for name in schema.get("required", ()) if name not in value]
        known = schema.get("properties", {})
        if known and not schema.get("additionalProperties"):
            wrong += [f"{at}.{name} is not documented" for name in value if name not in known]
        for name, inner in known.items():
            wrong += fits(value[name], inner, document, f"{at}.{name}") if name in value else []
    if isinstance(value, list) and "items" in schema:
        wrong += [
            fault for n, each in enumerate(value) for fault in fits(each, schema["items"], document, f"{at}[{n}]")
        ]
    return wrong


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


async def test_openapi_document_names_every_venue_parameter_and_status(rig: Rig) -> None:
    document = (await rig.desk().call("GET", "/openapi.json")).json

    cancel = document["paths"]["/orders/{venue}/{ref}"]["delete"]
    named = {parameter["name"]: parameter for parameter in cancel["parameters"]}
    headers = {"Idempotency-Key", "X-Request-Timeout-Ms", "Priority", "X-Request-ID"}
    statuses = {"200", "202", "400", "401", "403", "404", "409", "422", "429", "500", "502", "503", "504"}
    assert document["openapi"].startswith("3.1")
    assert named["venue"]["schema"]["enum"] == list(VENUE_IDS)
    assert {"ref", "by", "account", "symbol", "wait", "plan"} | headers <= set(named)
    assert statuses <= set(cancel["responses"])

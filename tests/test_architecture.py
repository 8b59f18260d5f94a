"""The rules of the layout, held by reading the source: who imports whom, what is pure, what may be written where."""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

import gateway

ROOT = Path(gateway.__file__).parent
VECTORS = Path(__file__).parent / "venues" / "vectors"

# What pure code may import, besides gateway's own pure layers. Each can be used without reading a clock, the
# environment, a socket or a source of randomness; the calls that could are named in IMPURE_CALLS.
PURE_IMPORTS = frozenset({
    "abc", "base64", "bisect", "collections", "collections.abc", "dataclasses", "datetime", "decimal", "email.utils",
    "enum", "functools", "hashlib", "heapq", "hmac", "itertools", "json", "math", "nacl.bindings", "nacl.exceptions",
    "nacl.signing", "operator", "orjson", "re", "string", "struct", "types", "typing", "urllib.parse",
})  # fmt: skip
IMPURE_CALLS = frozenset({
    "now", "utcnow", "today", "formatdate", "localtime", "make_msgid", "generate", "open", "print",
    "input", "breakpoint", "exec", "eval", "__import__",
})  # fmt: skip
PURE = (
    "gateway.core", "gateway.venues", "gateway.web.codec", "gateway.web.kill_codec", "gateway.web.many_codec",
    "gateway.client.call", "gateway.client.doubt", "gateway.client.heard",
)  # fmt: skip

MIDDLE = "gateway.(the middle)"
SETTINGS = "gateway.settings"
ENTRY = "gateway.(entry)"
LAYERS: dict[str, frozenset[str]] = {
    "gateway.core": frozenset({"gateway.core"}),
    "gateway.venues": frozenset({"gateway.core", "gateway.venues"}),
    "gateway.ports": frozenset({"gateway.core", "gateway.venues.base"}),
    MIDDLE: frozenset({"gateway.core", "gateway.ports", "gateway.venues.base", MIDDLE}),
    "gateway.backends": frozenset({"gateway.core", "gateway.ports", "gateway.venues.base", "gateway.backends"}),
    "gateway.web": frozenset({
        "gateway", "gateway.core", "gateway.ports", "gateway.venues.base", "gateway.web", MIDDLE, SETTINGS,
    }),
    SETTINGS: frozenset({"gateway.core", "gateway.venues", SETTINGS}),
    "gateway.sandbox": frozenset({"gateway.sandbox"}),
    "gateway.client": frozenset({"gateway.core.model", "gateway.core.outcome", "gateway.client"}),
}  # fmt: skip
MAY_IMPORT_WIRING = (
    "gateway.wiring", "gateway.reload", "gateway.__main__", "gateway.cli",
)  # fmt: skip


@dataclass(frozen=True)
class Module:
    """One file of the gateway, parsed."""

    name: str
    path: Path
    tree: ast.Module = field(repr=False, compare=False)

    @property
    def imports(self) -> list[str]:
        """Every module that it imports, wherever in the file: a name that is itself a module counts as that module."""
        return [target for node in ast.walk(self.tree) for target in _targets(node)]

    def within(self, *packages: str) -> bool:
        """Whether it is one of these modules, or lies in one of these packages."""
        return any(_within(self.name, package) for package in packages)


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def _targets(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        return [f"{base}.{alias.name}" if _is_module(f"{base}.{alias.name}") else base for alias in node.names]
    return []


def _is_module(name: str) -> bool:
    path = ROOT.parent.joinpath(*name.split("."))
    return name.startswith("gateway.") and (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file())


@cache
def modules() -> tuple[Module, ...]:
    return tuple(_module(path) for path in sorted(ROOT.rglob("*.py")))


def _module(path: Path) -> Module:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, path, ast.parse(path.read_text(encoding="utf-8")))


def pure_modules() -> list[Module]:
    return [module for module in modules() if module.within(*PURE)]


def at(module: Module, node: ast.AST) -> str:
    return f"{module.name}:{getattr(node, 'lineno', '?')}"


# -- what is pure ----------------------------------------------------------------------------------------------


def test_pure_code_imports_from_the_list_only() -> None:
    strangers = [
        f"{module.name} imports {target}"
        for module in pure_modules()
        for target in module.imports
        if target not in PURE_IMPORTS and not any(_within(target, ours) for ours in PURE)
    ]

    assert strangers == []


def test_pure_code_waits_for_nothing() -> None:
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    found = [
        at(module, node) for module in pure_modules() for node in ast.walk(module.tree) if isinstance(node, waiting)
    ]

    assert found == []


def test_pure_code_reads_no_clock_file_or_chance() -> None:
    found = [
        f"{at(module, node)} calls {ast.unparse(node.func)}"
        for module in pure_modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and _impure(node)
    ]

    assert found == []


def _impure(call: ast.Call) -> bool:
    name = ast.unparse(call.func).rpartition(".")[2]
    if name == "fromtimestamp":  # without a zone it takes the machine's own
        return len(call.args) + len(call.keywords) < len(("timestamp", "zone"))
    return name in IMPURE_CALLS


def test_there_is_pure_code_to_look_at() -> None:
    assert {"gateway.core.outcome", "gateway.venues.base"} <= {module.name for module in pure_modules()}


# -- who imports whom ------------------------------------------------------------------------------------------


def layer_of(name: str) -> str:
    """The layer of a module: its package, or which group of single files it belongs to."""
    for package in LAYERS:
        if _within(name, package):
            return package
    if name == "gateway" or any(_within(name, entry) for entry in MAY_IMPORT_WIRING):
        return ENTRY
    return SETTINGS if name.startswith("gateway.settings") else MIDDLE


def allowed(target: str, layer: str) -> bool:
    return any(
        layer_of(target) == friend if friend in {MIDDLE, SETTINGS} else target == friend or _friendly(target, friend)
        for friend in LAYERS[layer]
    )


def _friendly(target: str, friend: str) -> bool:
    return friend != "gateway" and _within(target, friend)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_it_stands_on(layer: str) -> None:
    strangers = [
        f"{module.name} imports {target}"
        for module in modules()
        if layer_of(module.name) == layer
        for target in module.imports
        if _within(target, "gateway") and not allowed(target, layer)
    ]

    assert strangers == []


def test_nobody_but_the_entries_imports_wiring() -> None:
    strangers = [
        module.name
        for module in modules()
        if not module.within(*MAY_IMPORT_WIRING) and any(_within(target, "gateway.wiring") for target in module.imports)
    ]

    assert strangers == []


def test_imports_are_absolute() -> None:
    relative = [
        at(module, node)
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]

    assert relative == []


# -- what may be written where ---------------------------------------------------------------------------------


def test_only_venues_write_requests_down() -> None:
    elsewhere = [
        at(module, node)
        for module in modules()
        if not module.within("gateway.venues")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "WireRequest"
    ]

    assert elsewhere == []


def venue_modules() -> list[Module]:
    """The files in `venues/` that hold a venue: a class that unlocks and interprets, and is no Protocol."""
    return [module for module in modules() if module.within("gateway.venues") and any(_venue_classes(module.tree))]


def _venue_classes(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and "Protocol" not in {ast.unparse(base) for base in node.bases}:
            methods = {inside.name for inside in node.body if isinstance(inside, ast.FunctionDef)}
            if {"unlock", "interpret"} <= methods:
                yield node.name


def listed() -> dict[str, str]:
    """The venues in `ALL`: id -> the module of its class."""
    every = vars(importlib.import_module("gateway.venues")).get("ALL", ())
    return {str(venue.id): type(venue).__module__ for venue in every}


@pytest.mark.parametrize("module", venue_modules(), ids=lambda module: module.name)
def test_a_venue_is_listed_once_under_the_name_of_its_file(module: Module) -> None:
    name = module.name.rpartition(".")[2]

    assert listed().get(name) == module.name


def test_nothing_else_is_listed() -> None:
    assert set(listed().values()) == {module.name for module in venue_modules()}


@pytest.mark.parametrize("module", venue_modules(), ids=lambda module: module.name)
def test_a_venue_has_vectors(module: Module) -> None:
    assert (VECTORS / f"{module.name.rpartition('.')[2]}.json").is_file()


def test_a_venues_name_stands_in_its_own_file_only() -> None:
    """Outside `venues/`, the sandbox and the demo nothing knows one venue from another."""
    ids = {module.name.rpartition(".")[2] for module in venue_modules()}
    found = [
        f"{at(module, node)} says {node.value!r}"
        for module in modules()
        if not module.within("gateway.venues", "gateway.sandbox") and "demo" not in module.name
        for node in _literals(module.tree)
        if isinstance(node.value, str) and _names(node.value, ids)
    ]

    assert found == []


def _names(literal: str, ids: set[str]) -> bool:
    """A venue id by itself, or in front of an account or a field; a sentence may use the same word."""
    return re.split(r"[:/.]", literal.casefold(), maxsplit=1)[0] in ids


def _literals(tree: ast.Module) -> Iterator[ast.Constant]:
    """Every constant but docstrings, which are for people."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs)


def test_no_file_but_the_list_imports_a_single_venue() -> None:
    ours = {module.name for module in venue_modules()}
    strangers = [
        f"{module.name} imports {target}"
        for module in modules()
        if not module.within("gateway.venues")
        for target in module.imports
        if target in ours
    ]

    assert strangers == []


def test_values_of_the_core_and_the_venues_are_frozen() -> None:
    """All but the queue of `core/fairness.py`, which is what it is because it changes."""
    soft = [
        f"{at(module, node)} {node.name}"
        for module in modules()
        if module.within("gateway.core", "gateway.venues") and module.name != "gateway.core.fairness"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
        if "dataclass" in ast.unparse(decorator) and "frozen=True, slots=True" not in ast.unparse(decorator)
    ]

    assert soft == []


# -- the map ---------------------------------------------------------------------------------------------------


def places_on_the_map() -> list[str]:
    """Every file and folder that the map names, but for the placeholder that stands for any venue."""
    named: list[str] = re.findall(r"(?<![\w<>/])(?:[a-z_]+/)*(?:[a-z_]+\.py|(?<=/)(?=\s))", gateway.__doc__ or "")
    return sorted(set(named))


@pytest.mark.parametrize("place", places_on_the_map())
def test_what_the_map_names_is_there(place: str) -> None:
    assert (ROOT / place).exists()


def test_the_map_names_the_whole_path() -> None:
    verbs = ("receive", "authenticate", "unlock", "claim", "admit", "sign", "send", "interpret", "settle", "respond")
    lines = [line.split() for line in (gateway.__doc__ or "").splitlines()]

    assert [words[0] for words in lines if len(words) > 1 and words[0] in verbs] == list(verbs)
    assert len(places_on_the_map()) >= len(verbs)


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_a_module_opens_with_what_lives_there(module: Module) -> None:
    assert ast.get_docstring(module.tree)

"""Who may do what, and whose token it is."""

import ast
import hashlib
import inspect
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import access
from gateway.core.access import (
    AT_ODDS,
    BOUND,
    NO_ENTRY,
    NO_PROOF,
    TWO_OWNERS,
    Caller,
    Denied,
    Directory,
    Permission,
    by_token,
    is_name,
)
from gateway.core.model import Account, VenueId
from gateway.core.outcome import Outcome


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


DESK_A = Caller("desk-a", token_sha256=(digest("old-a"), digest("new-a")))
DESK_B = Caller("desk-b", token_sha256=(digest("b"),))
NO_TOKEN = Caller("by-certificate")


# -- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "desk-a", "Desk.A_1", "x" * 64, "...", "-"])
def test_a_name_is_letters_digits_dots_and_dashes(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "x" * 65, ".", "..", "a/b", "a\\b", "a b", "a\n", "a:b", "a{b}", "ä", "a\x00", "*"]
)
def test_nothing_else_is_a_name(name: str) -> None:
    assert not is_name(name)


# -- patterns --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "reached"),
    [
        ("orderly:desk-a", {"orderly:desk-a"}),
        ("orderly:*", {"orderly:desk-a", "orderly:desk-b"}),
        ("*:desk-a", {"orderly:desk-a", "hashkey:desk-a"}),
        ("*:*", {"orderly:desk-a", "orderly:desk-b", "hashkey:desk-a"}),
        ("*", set()),
        ("orderly", set()),
        ("orderly:", set()),
        (":desk-a", set()),
        ("", set()),
        ("order*:*", set()),
        ("orderly:desk-*", set()),
        ("ORDERLY:desk-a", set()),
        ("orderly:desk-a:x", set()),
    ],
)
def test_a_pattern_reaches_its_accounts_only(pattern: str, reached: set[str]) -> None:
    caller = Caller("c", allow=(pattern,))

    accounts = [("orderly", "desk-a"), ("orderly", "desk-b"), ("hashkey", "desk-a")]
    assert {f"{v}:{name}" for v, name in accounts if caller.reaches(Account(VenueId(v), name))} == reached


def test_any_pattern_will_do() -> None:
    caller = Caller("c", allow=("hashkey:*", "orderly:desk-a"))

    assert caller.reaches(Account(VenueId("orderly"), "desk-a"))
    assert not caller.reaches(Account(VenueId("orderly"), "desk-b"))


@pytest.mark.parametrize(
    ("pattern", "venues"),
    [("orderly:desk-a", {"orderly"}), ("orderly:*", {"orderly"}), ("*:desk-a", {"orderly", "hashkey"}), ("", set())],
)
def test_a_venue_of_which_nothing_is_reached_is_none_of_the_callers(pattern: str, venues: set[str]) -> None:
    caller = Caller("c", allow=(pattern,))

    assert {venue for venue in ("orderly", "hashkey") if caller.reaches_some(VenueId(venue))} == venues


def test_nothing_is_allowed_by_default() -> None:
    assert not Caller("c").reaches(Account(VenueId("orderly"), "desk-a"))
    assert not any(Caller("c").may(permission) for permission in Permission)


@pytest.mark.parametrize("given_one", Permission)
def test_a_permission_is_that_permission_only(given_one: Permission) -> None:
    caller = Caller("c", permissions=frozenset({given_one}))

    assert {permission for permission in Permission if caller.may(permission)} == {given_one}


# -- tokens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "caller"),
    [("old-a", DESK_A), ("new-a", DESK_A), ("b", DESK_B), ("c", None), ("", None), ("\udcff", None)],
)
def test_a_token_belongs_to_its_caller(token: str, caller: Caller | None) -> None:
    assert by_token(token, (NO_TOKEN, DESK_A, DESK_B)) is caller


def test_the_hash_is_not_the_token() -> None:
    assert by_token(digest("b"), (DESK_B,)) is None


@pytest.mark.parametrize("place", [0, 31, 63])
def test_a_hash_that_differs_in_one_digit_is_another(place: int) -> None:
    right = digest("b")
    wrong = right[:place] + ("0" if right[place] != "0" else "1") + right[place + 1 :]

    assert by_token("b", (Caller("near", token_sha256=(wrong,)),)) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_is_one_callers_token_or_nobodys(token: str) -> None:
    found = by_token(token, (DESK_A, DESK_B))

    assert found is {"old-a": DESK_A, "new-a": DESK_A, "b": DESK_B}.get(token)


class Counted(tuple[str, ...]):
    """Hashes that tell how many of them were looked at."""

    __slots__ = ()
    looked: list[str] = []  # noqa: RUF012  shared on purpose: a tuple has no room of its own

    def __iter__(self) -> Iterator[str]:
        for one in super().__iter__():
            self.looked.append(one)
            yield one


@pytest.mark.parametrize("token", ["first", "last", "none"])
def test_every_hash_is_looked_at_wherever_the_match_is(token: str) -> None:
    Counted.looked.clear()
    hashes = [Counted((digest("first"), digest("second"))), Counted((digest("third"), digest("last")))]

    by_token(token, (Caller("one", token_sha256=hashes[0]), Caller("two", token_sha256=hashes[1])))

    assert len(Counted.looked) == 4


def test_hashes_are_compared_in_constant_time() -> None:
    """The one comparison of a token is `hmac.compare_digest`, and no loop is left early."""
    tree = ast.parse(inspect.getsource(access.by_digest))

    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert calls.count("hmac.compare_digest") == 1
    assert not any(isinstance(node, ast.Compare | ast.Break) for node in ast.walk(tree))
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For)]
    assert not any(isinstance(inside, ast.Return) for loop in loops for inside in ast.walk(loop))


def test_hashes_do_not_show_in_a_repr() -> None:
    assert digest("b") not in repr(DESK_B)


# -- who it is, by all that was shown --------------------------------------------------------------------------

BOUND_ONE = Caller("bound", certificates=("bound.internal", "spiffe://mesh/bound"))
FREE = Caller("free", token_sha256=(digest("free"),))
THIRD = Caller("third", certificates=("third.internal",), subjects=("system:serviceaccount:trading:third",))
DIRECTORY = Directory.of((BOUND_ONE, FREE, THIRD))
BAD_TOKEN = Denied(Outcome.UNAUTHENTICATED, "the token has expired")


@pytest.mark.parametrize(
    ("names", "said", "who"),
    [
        ((), None, NO_PROOF),
        ((), FREE, FREE),
        ((), BAD_TOKEN, BAD_TOKEN),
        ((), BOUND_ONE, BOUND),
        (("nobody.internal",), None, NO_PROOF),
        (("nobody.internal",), FREE, FREE),
        (("nobody.internal",), BOUND_ONE, BOUND),
        (("bound.internal",), None, BOUND_ONE),
        (("x.internal", "spiffe://mesh/bound"), None, BOUND_ONE),
        (("bound.internal", "spiffe://mesh/bound"), None, BOUND_ONE),
        (("bound.internal",), BOUND_ONE, BOUND_ONE),
        (("bound.internal",), FREE, AT_ODDS),
        (("bound.internal",), THIRD, AT_ODDS),
        (("bound.internal",), BAD_TOKEN, BAD_TOKEN),
        (("bound.internal", "third.internal"), None, TWO_OWNERS),
        (("bound.internal", "third.internal"), BOUND_ONE, TWO_OWNERS),
    ],
)
def test_token_and_certificate_must_both_be_right_where_both_are_shown(
    names: tuple[str, ...], said: Caller | Denied | None, who: Caller | Denied
) -> None:
    assert DIRECTORY.agreed(names, said) is who


@pytest.mark.parametrize(
    ("subject", "who"),
    [
        ("free", FREE),
        ("bound", BOUND_ONE),
        ("system:serviceaccount:trading:third", THIRD),
        ("third", NO_ENTRY),
        ("", NO_ENTRY),
        ("Free", NO_ENTRY),
    ],
)
def test_a_subject_is_a_name_unless_the_caller_lists_its_subjects(subject: str, who: Caller | Denied) -> None:
    assert DIRECTORY.of_subject(subject) is who

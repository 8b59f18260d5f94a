"""Redis URLs as values. What is refused, and with which words, stands in tests/settings/bad."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.redis_address import (
    OPTIONS,
    Address,
    Flaw,
    Kind,
    Login,
    Place,
    SocketFile,
    TlsFiles,
    parse_redis_address,
)

HERE = Place("h", 6379)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", Address(Kind.SINGLE, (HERE,))),
        ("REDIS://h:1/2", Address(Kind.SINGLE, (Place("h", 1),), database=2)),
        ("redis://h?db=3", Address(Kind.SINGLE, (HERE,), database=3)),
        ("redis://[::1]:7", Address(Kind.SINGLE, (Place("::1", 7),))),
        ("redis://:p@h", Address(Kind.SINGLE, (HERE,), login=Login("", "p"))),
        ("redis://u%40:p%2F%3A@h", Address(Kind.SINGLE, (HERE,), login=Login("u@", "p/:"))),
        ("redis://h?username=u&password=p", Address(Kind.SINGLE, (HERE,), login=Login("u", "p"))),
        ("unix:///run/a%20b?db=1", Address(Kind.SINGLE, (SocketFile("/run/a b"),), database=1)),
        ("unix://u:p@/run/s", Address(Kind.SINGLE, (SocketFile("/run/s"),), login=Login("u", "p"))),
        ("redis+sentinel://a,b:1/m", Address(Kind.SENTINEL, (Place("a", 26379), Place("b", 1)), master="m")),
        ("redis+sentinel://a/m/4", Address(Kind.SENTINEL, (Place("a", 26379),), master="m", database=4)),
        ("redis+sentinel://a/m?db=4", Address(Kind.SENTINEL, (Place("a", 26379),), master="m", database=4)),
        (
            "redis+sentinel://u:p@a/m?sentinel_username=s&sentinel_password=t",
            Address(
                Kind.SENTINEL,
                (Place("a", 26379),),
                master="m",
                login=Login("u", "p"),
                sentinel_login=Login("s", "t"),
            ),
        ),
        ("redis+cluster://h,h:1", Address(Kind.CLUSTER, (HERE, Place("h", 1)))),
        ("rediss://h", Address(Kind.SINGLE, (HERE,), tls=TlsFiles())),
        ("redis+cluster://h?ssl=true", Address(Kind.CLUSTER, (HERE,), tls=TlsFiles())),
        (
            "rediss+cluster://h?ssl_ca_certs=/a&ssl_certfile=/c&ssl_keyfile=/k&ssl_cert_reqs=none&ssl_check_hostname=no",
            Address(Kind.CLUSTER, (HERE,), tls=TlsFiles("/a", "/c", "/k", verify=False, check_hostname=False)),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_url_is_read_as_it_says(url: str, address: Address) -> None:
    assert parse_redis_address(url) == address


def test_passwords_are_not_shown() -> None:
    address = parse_redis_address("redis+sentinel://u:hunter2@h/m?sentinel_password=hunter2")

    assert isinstance(address, Address)
    assert address.login.password == address.sentinel_login.password == "hunter2"
    assert "hunter2" not in repr(address)


@given(
    st.text(max_size=30)
    | st.builds(
        "{}{}://{}@{}/{}?{}={}".format,
        st.sampled_from(["redis", "rediss", "unix", "x"]),
        st.sampled_from(["", "+sentinel", "+cluster"]),
        st.text(max_size=8),
        st.text("ab:,.[]6%", max_size=12),
        st.text("ab/0%", max_size=5),
        st.sampled_from(OPTIONS),
        st.text(max_size=6),
    )
)
def test_any_text_is_an_address_or_a_flaw_that_does_not_repeat_it(text: str) -> None:
    match parse_redis_address(text):
        case Address(spots=spots):
            assert spots
        case Flaw(problem, remedy):
            assert problem
            assert remedy


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2",
        "redis://u:hunter2?x@h",
        "redis://:1?hunter2=x@h",
        "redis://:1#hunter2@h",
        "redis://h/hunter2",
        "redis://h?db=hunter2",
        "redis://h?ssl=hunter2",
        "redis://:1/hunter2@h",
    ],
)
def test_what_may_be_a_password_is_never_repeated(url: str) -> None:
    flaw = parse_redis_address(url)

    assert isinstance(flaw, Flaw)
    assert "hunter2" not in str(flaw)

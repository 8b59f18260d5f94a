"""Bytes that nobody has had: two records with one id would be one record."""

import os

from gateway.backends.noise import STOCK, Noise


def test_no_bytes_come_twice_also_beyond_what_was_fetched_at_once() -> None:
    noise = Noise()

    handed_out = [noise.bytes(10) for _ in range(STOCK // 10 * 3)]

    assert {len(each) for each in handed_out} == {10}
    assert len(set(handed_out)) == len(handed_out)
    assert len(noise.bytes(2 * STOCK)) == 2 * STOCK


def test_child_process_has_its_own() -> None:
    noise = Noise()
    noise.bytes(10)
    reader, writer = os.pipe()

    if (child := os.fork()) == 0:
        os.write(writer, noise.bytes(10))
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reader, 10) != noise.bytes(10)
    os.close(reader)
    os.close(writer)


def test_request_id_is_plain_text() -> None:
    assert len(Noise().request_id()) == 24

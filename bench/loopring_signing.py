"""What one Loopring signature costs, next to the plainest code for the same bytes: `python -m bench.loopring_signing`.

Both run in one process, so that their ratio holds on another machine too; the figures are medians. The plain one
doubles and adds in projective coordinates (one inversion at the end), and runs Poseidon as it is defined.
"""

import statistics
import time
from collections.abc import Callable

from gateway.venues.babyjubjub import BASE, CURVE_ORDER, A, D, Point, PrivateKey, Signature, base_times, nonce_of
from gateway.venues.poseidon import FIELD, mixing_matrix, poseidon, round_constants

Projective = tuple[int, int, int]

FAST_RUNS, PLAIN_RUNS = 400, 100
SECRET = 1242957328515765470505817310060337585626176314364086438653683782645761561015


def plain_add(left: Projective, right: Projective) -> Projective:
    (x1, y1, z1), (x2, y2, z2) = left, right
    z = z1 * z2 % FIELD
    zz, x, y = z * z % FIELD, x1 * x2 % FIELD, y1 * y2 % FIELD
    cross = D * x * y % FIELD
    mixed = ((x1 + y1) * (x2 + y2) - x - y) % FIELD
    return (
        z * (zz - cross) * mixed % FIELD,
        z * (zz + cross) * (y - A * x) % FIELD,
        (zz - cross) * (zz + cross) % FIELD,
    )


def plain_times(scalar: int, point: Point) -> Point:
    total, step = (0, 1, 1), (*point, 1)
    while scalar:
        if scalar & 1:
            total = plain_add(total, step)
        step, scalar = plain_add(step, step), scalar >> 1
    inverse = pow(total[2], -1, FIELD)
    return total[0] * inverse % FIELD, total[1] * inverse % FIELD


def plain_poseidon(inputs: tuple[int, ...], constants: tuple[int, ...], matrix: tuple[tuple[int, ...], ...]) -> int:
    state = [*inputs, 0]
    for turn, constant in enumerate(constants):
        state = [word + constant for word in state]
        boxed = 1 if 3 <= turn < 55 else 6
        state[:boxed] = [pow(word, 5, FIELD) for word in state[:boxed]]
        state = [sum(m * word for m, word in zip(row, state, strict=True)) % FIELD for row in matrix]
    return state[0]


def median_us(job: Callable[[int], object], count: int) -> float:
    timings = []
    for message in range(count):
        started = time.perf_counter()
        job(message)
        timings.append(time.perf_counter() - started)
    return statistics.median(timings) * 1e6


def signing_us() -> float:
    """The median of one signature."""
    return median_us(PrivateKey(SECRET).sign, FAST_RUNS)


def main() -> None:
    began = time.perf_counter()
    key = PrivateKey(SECRET)
    key.sign(1)
    print(f"set-up, once a process  {(time.perf_counter() - began) * 1e3:6.0f} ms")
    constants, matrix = round_constants(), mixing_matrix()

    def plain_hash(message: int) -> int:
        return plain_poseidon((*BASE, *key.public, message), constants, matrix)

    def plain_sign(message: int) -> Signature:
        nonce = nonce_of(SECRET, message)
        point = plain_times(nonce, BASE)
        challenge = plain_poseidon((*point, *key.public, message), constants, matrix)
        return Signature(*point, (nonce + SECRET * challenge) % CURVE_ORDER)

    jobs: list[tuple[str, Callable[[int], object], Callable[[int], object]]] = [
        ("signature", key.sign, plain_sign),
        ("Poseidon", lambda message: poseidon((*BASE, *key.public, message)), plain_hash),
        ("base point times", lambda n: base_times(SECRET - n), lambda n: plain_times(SECRET - n, BASE)),
    ]
    for name, ours, plain in jobs:
        assert [ours(n) for n in range(20)] == [plain(n) for n in range(20)]
        fast, slow = median_us(ours, FAST_RUNS), median_us(plain, PLAIN_RUNS)
        print(f"{name:<22}  {fast:6.0f} us,  plain {slow:6.0f} us,  {slow / fast:4.1f} times faster")


if __name__ == "__main__":
    main()

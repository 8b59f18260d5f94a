"""Base58 in the Bitcoin alphabet, as ed25519 keys are written by the venues. Nothing about keys or venues."""

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
DIGITS = {letter: value for value, letter in enumerate(ALPHABET)}


def encode(raw: bytes) -> str:
    """Bytes as base58; each leading zero byte becomes a leading `1`."""
    number = int.from_bytes(raw, "big")
    letters = ""
    while number:
        number, digit = divmod(number, 58)
        letters = ALPHABET[digit] + letters
    return ALPHABET[0] * (len(raw) - len(raw.lstrip(b"\0"))) + letters


def decode(text: str) -> bytes | None:
    """Base58 as bytes; None where a letter is outside the alphabet."""
    number = 0
    for letter in text:
        if letter not in DIGITS:
            return None
        number = number * 58 + DIGITS[letter]
    # The number alone would lose leading zero bytes: one key in 256 begins with one.
    zeros = len(text) - len(text.lstrip(ALPHABET[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")

"""`cancel-gateway secrets put/list/rm/rekey`: the sealed file of a settings file. Values are never printed."""

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.backends.credentials.sealed import SealedFile
from gateway.backends.credentials.sealed_store import passphrase_in, read_passphrase
from gateway.backends.credentials.store import MATERIAL_MOST_BYTES, Unusable, fields_of
from gateway.cli.check_config import Registry, load_or_tell, registry
from gateway.core.access import is_name
from gateway.core.model import Account
from gateway.ports import Unavailable
from gateway.settings import Settings
from gateway.settings.secrets import Provider
from gateway.venues.base import BadMaterial, Site, Venue

OK, WRONG = 0, 2
NEW_PASSPHRASE_VARIABLE = "CANCEL_GATEWAY_NEW_PASSPHRASE"  # noqa: S105  the name of a variable
DEFAULT_CONFIG = Path("cancel-gateway.toml")
# Whether material can sign does not hang on the address; a venue that is not configured yet is checked at this one.
NOWHERE = Site("https://venue.invalid")


class Refusal(Exception):  # noqa: N818  a refusal is what the command says, not a bug
    """What ends the command: one line for the person who typed it."""


@dataclass(frozen=True, slots=True)
class Desk:
    """A settings file, opened for work on its secrets."""

    settings: Settings
    sealed: SealedFile
    venues: tuple[Venue, ...]


CONFIG_HELP = "the settings that say where the sealed file is; default: %(default)s"
Work = Callable[[argparse.Namespace, Desk], int]


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]", venues: Registry = registry) -> None:
    """Register the commands."""
    commands = subparsers.add_parser("secrets", help="the sealed file of venue credentials")
    inner = commands.add_subparsers(required=True, metavar="COMMAND")
    put = _command(inner, "put", "store a credential: one JSON object from stdin, a file, or field by field")
    put.add_argument("--file", type=Path, metavar="JSON", help="the JSON object; standard input otherwise")
    show = _command(inner, "list", "show accounts and the number of their last change, never values", places="?")
    remove = _command(inner, "rm", "forget a credential")
    rekey = inner.add_parser("rekey", help="close the file under another passphrase")
    rekey.add_argument("--config", type=Path, metavar="FILE", default=DEFAULT_CONFIG, help=CONFIG_HELP)
    new_words = f"the new passphrase; ${NEW_PASSPHRASE_VARIABLE} or a prompt otherwise"
    rekey.add_argument("--new-passphrase-file", type=Path, metavar="FILE", help=new_words)
    for command, work in ((put, _put), (show, _list), (remove, _remove), (rekey, _rekey)):
        command.set_defaults(run=partial(_run, work=work, venues=venues))


def _command(
    inner: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, words: str, places: str | None = None
) -> argparse.ArgumentParser:
    command = inner.add_parser(name, help=words)
    command.add_argument("venue", metavar="VENUE", nargs=places, help="orderly, hashkey, loopring, etna or b2trader")
    command.add_argument("account", metavar="ACCOUNT", nargs=places, help="the name that callers give it")
    command.add_argument("--config", type=Path, metavar="FILE", default=DEFAULT_CONFIG, help=CONFIG_HELP)
    return command


def _run(arguments: argparse.Namespace, work: Work, venues: Registry) -> int:
    known = venues()
    settings = load_or_tell(arguments.config, os.environ, known)
    if settings is None:
        return WRONG
    try:
        return work(arguments, _desk(settings, known))
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
    except Unavailable as error:
        print(error.reason, file=sys.stderr)
    return WRONG


def _desk(settings: Settings, venues: tuple[Venue, ...]) -> Desk:
    secrets = settings.secrets
    if secrets.provider is not Provider.SEALED:
        raise Refusal(f"secrets.provider: is {secrets.provider}; these commands are for sealed")
    passphrase = read_passphrase(secrets.passphrase_file, os.environ)
    if passphrase is None and sys.stdin.isatty():
        passphrase = _ask_passphrase(is_new=not secrets.sealed_file.exists())
    return Desk(settings, SealedFile(secrets.sealed_file, passphrase), venues)


def _ask_passphrase(*, is_new: bool) -> str:
    prompt = "Passphrase of the sealed file: "
    return _twice(prompt) if is_new else getpass.getpass(prompt)


def _put(arguments: argparse.Namespace, desk: Desk) -> int:
    venue, account = _venue(arguments, desk), _account(arguments, desk)
    fields = _fields(arguments.file, venue)
    _check(venue, fields, desk.settings)
    number = desk.sealed.put(account, fields)
    print(f"stored {account.venue} {account.name}, change {number}, in {desk.sealed.path}")
    return OK


def _list(arguments: argparse.Namespace, desk: Desk) -> int:
    entries = desk.sealed.open().entries
    for account in sorted(entries, key=lambda one: (one.venue, one.name)):
        if arguments.venue in {None, account.venue} and arguments.account in {None, account.name}:
            print(f"{account.venue}\t{account.name}\tchange {entries[account].number}")
    return OK


def _remove(arguments: argparse.Namespace, desk: Desk) -> int:
    account = _account(arguments, desk)
    if not desk.sealed.remove(account):
        raise Refusal(f"nothing is stored under {account.venue} {account.name}")
    print(f"removed {account.venue} {account.name} from {desk.sealed.path}")
    return OK


def _rekey(arguments: argparse.Namespace, desk: Desk) -> int:
    passphrase = os.environ.get(NEW_PASSPHRASE_VARIABLE) or passphrase_in(arguments.new_passphrase_file)
    if not passphrase and arguments.new_passphrase_file is None and sys.stdin.isatty():
        passphrase = _twice("New passphrase: ")
    if not passphrase:
        raise Refusal(f"no new passphrase; set {NEW_PASSPHRASE_VARIABLE} or give --new-passphrase-file")
    if passphrase == desk.sealed.passphrase:
        raise Refusal("the new passphrase is the old one; nothing was changed")
    count = desk.sealed.rekey(passphrase)
    print(f"closed {count} credential(s) in {desk.sealed.path} under the new passphrase")
    return OK


def _twice(prompt: str) -> str:
    passphrase = getpass.getpass(prompt)
    if passphrase != getpass.getpass("The same again: "):
        raise Refusal("the two passphrases differ; nothing was changed")
    return passphrase


def _venue(arguments: argparse.Namespace, desk: Desk) -> Venue:
    for venue in desk.venues:
        if venue.id == arguments.venue:
            return venue
    raise Refusal(f"VENUE: is none of {', '.join(venue.id for venue in desk.venues)}")


def _account(arguments: argparse.Namespace, desk: Desk) -> Account:
    if not is_name(arguments.account):
        raise Refusal("ACCOUNT: is no valid name; take 1 to 64 of A-Z a-z 0-9 . _ -")
    return Account(_venue(arguments, desk).id, arguments.account)


def _fields(file: Path | None, venue: Venue) -> Mapping[str, str]:
    if file is None and sys.stdin.isatty():
        return _ask_fields(venue)
    try:
        content = file.read_bytes() if file is not None else sys.stdin.buffer.read(MATERIAL_MOST_BYTES + 1)
    except OSError as error:
        raise Refusal(f"{file}: cannot be read: {error.strerror}") from None
    fields = fields_of(content)
    if isinstance(fields, Unusable):
        where = f"field {fields.field}" if fields.field else "the credential"
        raise Refusal(f"{where} {fields.problem}; give one JSON object whose values are strings")
    return fields


def _ask_fields(venue: Venue) -> dict[str, str]:
    """Ask for every field that the venue knows; an empty answer leaves one out."""
    names = sorted(frozenset[str]().union(*venue.fields))
    choices = " or ".join(" + ".join(sorted(one)) for one in venue.fields)
    print(f"{venue.id} takes {choices}; leave empty what does not apply")
    answers = {name: getpass.getpass(f"{name}: ") for name in names}
    return {name: answer for name, answer in answers.items() if answer}


def _check(venue: Venue, fields: Mapping[str, str], settings: Settings) -> None:
    """Material that cannot sign is refused now, not when an order has to be cancelled."""
    known = frozenset[str]().union(*venue.fields)
    strangers = sorted(set(fields) - known)
    if strangers:
        raise Refusal(f"field {strangers[0]!r}: is unknown to {venue.id}; it takes {', '.join(sorted(known))}")
    configured = settings.venues.get(venue.id)
    try:
        venue.unlock(fields, configured.site if configured else NOWHERE)
    except BadMaterial as bad:
        raise Refusal(f"field {bad.field} {bad.problem}; nothing was stored") from None

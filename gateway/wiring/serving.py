"""What callers and people on call meet, made: the path of a cancel, the kill switch, the console."""

import random
import secrets
from collections.abc import Callable

from gateway import __version__
from gateway.again import Retries
from gateway.backends.noise import Noise
from gateway.backends.unknowns import RedisUnknowns
from gateway.core.answer import Answer, Asked
from gateway.core.tally import Kill, Tally
from gateway.courier import Courier
from gateway.errand import Errands
from gateway.follow import Follower
from gateway.gangway import Gangway
from gateway.kill import Killer
from gateway.kill_calls import Hands
from gateway.lookout import Lookout
from gateway.pipeline import Pipeline
from gateway.planner import Planner
from gateway.reader import Reader
from gateway.recent import Recent
from gateway.reload import Entrance
from gateway.resolve import Resolver
from gateway.settle import Settler
from gateway.voyage import Voyages
from gateway.watchman import Watchman
from gateway.web.codec import answer_body
from gateway.web.console import Console
from gateway.web.front import Front, Journal
from gateway.web.kill_codec import kill_body
from gateway.wiring.cancelling import Cancelling
from gateway.wiring.shared import Shared

ROLL = secrets.SystemRandom().random
NOISE = Noise()


Encode = Callable[[Asked, Answer], bytes]


def front_of(entrance: Entrance, shared: Shared, parts: Cancelling) -> Front:
    """The path of a cancel, and what stands around it, for the handlers."""
    clock, records, metrics, limiter = shared.clock, shared.records, shared.metrics, shared.limiter

    def encode(asked: Asked, answer: Answer) -> bytes:
        return answer_body(asked, answer, clock.now_ms())

    voyages = Voyages(clock, limiter)
    gangway = Gangway()
    courier = Courier(clock, limiter, shared.gates, limiter, parts.sender, metrics, parts.weather, voyages, gangway)
    reader = Reader(clock, parts.dispatcher, courier, shared.trail)
    errands = Errands(clock, courier, metrics, shared.trail)
    hands = Hands(clock, parts.keeper, parts.dispatcher, courier, errands, shared.trail)
    follower = Follower(clock, records, _resolver(shared, parts, reader, encode))
    return Front(
        desks=parts.desks,
        door=shared.traces.door(entrance.door, clock),
        clock=clock,
        pipeline=_pipeline(shared, parts, errands, reader, follower, encode, gangway),
        killer=_killer(shared, parts, hands, follower),
        planner=Planner(parts.desks, clock, parts.keeper, limiter, parts.dispatcher, parts.weather),
        records=records,
        follower=follower,
        survey=parts.survey,
        journal=Journal(metrics, shared.traces.log(shared.log), Recent(clock.now_ms)),
        new_request_id=NOISE.request_id,
    )


def _resolver(shared: Shared, parts: Cancelling, reader: Reader, encode: Encode) -> Resolver:
    return Resolver(
        desks=parts.desks,
        clock=shared.clock,
        credentials=parts.keeper,
        records=shared.records,
        reader=reader,
        meter=shared.metrics,
        log=shared.log,
        encode=encode,
        chance=random.random,
        give_up_ms=parts.give_up_ms,
        trail=shared.trail,
    )


def _pipeline(
    shared: Shared,
    parts: Cancelling,
    errands: Errands,
    reader: Reader,
    follower: Follower,
    encode: Encode,
    gangway: Gangway,
) -> Pipeline:
    clock, metrics = shared.clock, shared.metrics
    settler = Settler(clock, shared.records, follower.bell, shared.limiter, metrics, encode, shared.trail)
    return Pipeline(
        desks=parts.desks,
        clock=shared.clock,
        credentials=parts.keeper,
        records=shared.records,
        weather=parts.weather,
        retries=Retries(shared.clock, shared.metrics, ROLL),
        gangway=gangway,
        dispatcher=parts.dispatcher,
        errands=errands,
        reader=reader,
        follower=follower,
        continuity=shared.limiter,
        meter=shared.metrics,
        noise=NOISE.bytes,
        settler=settler,
        trail=shared.trail,
    )


def _killer(shared: Shared, parts: Cancelling, hands: Hands, follower: Follower) -> Killer:
    def encode(kill: Kill, tally: Tally) -> bytes:
        return kill_body(kill, tally, shared.clock.now_ms())

    limiter = shared.limiter
    return Killer(parts.desks, hands, shared.records, follower, limiter, limiter, NOISE.bytes, encode)


def console_of(front: Front, shared: Shared) -> Console:
    """The page for people on call, and what it looks at."""
    lookout = Lookout(front.survey, RedisUnknowns(shared.link), shared.clock, shared.log)
    return Console(lookout, front.journal.recent, front.killer.under_way, __version__)


def watchman_of(front: Front, shared: Shared, parts: Cancelling) -> Watchman:
    """Whoever looks after what was left open."""
    accounts = parts.survey.every_account
    return Watchman(shared.clock, front.follower.resolver, shared.limiter, accounts, shared.log, random.random)

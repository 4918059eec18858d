"""The key service, over real sockets: who gets a key, who does not, and what is left in the log."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from provenance.canonical import canonical_json, parse_json
from provenance.errors import (
    FormatError,
    KeyRefused,
    LedgerLookupError,
    LedgerUnavailable,
    SealRefused,
    Unavailable,
    UsageError,
)
from provenance.home import Home
from provenance.http.serving import listen, make_server
from provenance.keyservice.challenge import Challenge
from provenance.keyservice.client import KeyClient, fetch_key
from provenance.keyservice.desk import KeyDesk
from provenance.keyservice.limits import RateLimit
from provenance.keyservice.log import ReleaseLog
from provenance.keyservice.pending import CAPACITY, PendingChallenges
from provenance.keyservice.refusal import Refusal
from provenance.keyservice.service import create_app
from provenance.ledger import open_reader
from provenance.ledger.accounts import KeystoreAccount, account_from_key
from provenance.sealing.handover import own_content_key
from provenance.sealing.keyring import Keyring
from provenance.sealing.weights import unseal_weights
from provenance.sealing.wrapping import WrappedKey, unwrap
from tests.provenance.sealed_world import SealedWorld


def never_limited() -> RateLimit:
    return RateLimit(burst=10_000, per_minute=10_000)


@dataclass
class Clock:
    """The service's clock, moved by hand."""

    ahead: float = 0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Service:
    """A running service; ``ask`` speaks HTTP to it without the client's own checks."""

    world: SealedWorld
    desk: KeyDesk
    clock: Clock
    url: str

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any], http.client.HTTPMessage]:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=20)
        try:
            connection.request(method, path, body, headers or {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read()), response.headers
        finally:
            connection.close()

    def challenge(self, account: KeystoreAccount, token: int | None = None) -> Challenge:
        token = self.world.token.token if token is None else token
        status, value, _ = self.ask("GET", f"/v1/challenge?account={account.address}&token={token}")
        assert status == 200, value
        return Challenge.parse(value)

    def answer(self, challenge: Any, signature: str) -> tuple[int, dict[str, Any]]:
        value = challenge.typed_data() if isinstance(challenge, Challenge) else challenge
        status, answer, _ = self.ask(
            "POST", "/v1/release", canonical_json({"challenge": value, "signature": signature})
        )
        return status, answer

    def refused(self, challenge: Any, signature: str) -> str:
        status, problem = self.answer(challenge, signature)
        assert status == problem["status"] >= 400
        assert "wrapped" not in problem
        return str(problem["type"].removeprefix("urn:prov:problem:"))

    def log(self) -> list[dict[str, Any]]:
        return list(ReleaseLog.of_home(self.world.home).entries())

    def fetch(self, account: KeystoreAccount, home: Home | None = None) -> None:
        with self.world.reader() as reader:
            fetch_key(
                self.url,
                self.world.token.token,
                home=home or self.world.home,
                reader=reader,
                store=self.world.store,
                account=account,
            )


@contextmanager
def serving(world: SealedWorld, **options: Any) -> Iterator[Service]:
    clock = Clock()
    with world.reader() as reader:
        identity = reader.identity
    options = {"peers": never_limited(), "accounts": never_limited(), **options}
    desk = KeyDesk(
        world.home,
        identity,
        options.pop("holder", world.maker),
        options.pop("open_reader", lambda: open_reader(world.home)),
        ReleaseLog.of_home(world.home),
        clock=clock,
        **options,
    )
    server, listening = make_server(create_app(desk)), listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Service(world, desk, clock, f"http://127.0.0.1:{listening.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


@pytest.fixture
def service(world: SealedWorld) -> Iterator[Service]:
    with serving(world) as running:
        yield running


def test_a_licensee_fetches_a_key_that_opens_the_weights(service: Service) -> None:
    world = service.world
    elsewhere = Home.create(world.folder / "elsewhere")
    service.fetch(world.licensee, elsewhere)
    with world.reader() as reader:
        weights = unseal_weights(world.release, world.token, home=elsewhere, reader=reader, account=world.licensee)
    assert weights == world.plaintext
    (entry,) = service.log()
    assert entry["event"] == "released"
    assert (entry["account"], entry["token"]) == (world.licensee.address, world.token.token)


def test_the_owner_needs_no_licence(service: Service) -> None:
    service.fetch(service.world.maker, Home.create(service.world.folder / "second-machine"))


def test_an_account_without_a_licence_gets_nothing(service: Service) -> None:
    with pytest.raises(KeyRefused, match="holds no licence") as refusal:
        service.fetch(service.world.stranger)
    assert "prov license buy" in str(refusal.value)
    (entry,) = service.log()
    assert (entry["event"], entry["reason"], entry["key"]) == ("refused", "no-licence", None)


def test_a_revoked_licence_gets_nothing(service: Service) -> None:
    world = service.world
    with world.ledger() as ledger:
        ledger.revoke(world.maker, world.token.token, world.licensee.address, reason="terms broken")
    with pytest.raises(KeyRefused, match="holds no licence"):
        service.fetch(world.licensee)


def test_a_withdrawn_adapter_gives_no_keys(service: Service) -> None:
    world = service.world
    with world.ledger() as ledger:
        ledger.revoke_adapter(world.maker, world.token.token, reason="a consent was withdrawn")
    with pytest.raises(KeyRefused, match="holds no licence"):
        service.fetch(world.licensee)


def test_an_adapter_that_was_taken_down_gives_no_keys(service: Service) -> None:
    world = service.world
    operator = account_from_key("faucet", (world.home.path / "chain" / "faucet.key").read_bytes())
    with world.ledger() as ledger:
        assert ledger.operator() == operator.address
        ledger.appoint_safety(operator, operator.address)
        ledger.take_down(operator, world.token.token, reason="5a" * 32)
    with pytest.raises(KeyRefused, match="holds no licence"):
        service.fetch(world.licensee)


def test_an_expired_licence_gets_nothing(world: SealedWorld) -> None:
    from provenance.ledger.chain_file import open_chain_file
    from provenance.ledger.view import LogView

    with world.reader() as reader:
        licence = reader.licence(world.token.token, world.licensee.address)
    assert licence is not None
    moments = iter([licence.expires - 1, licence.expires])

    def later() -> LogView:
        moment = next(moments)
        return LogView(open_chain_file(world.home), clock=lambda: moment)

    with serving(world, open_reader=later) as service:
        service.fetch(world.licensee)
        with pytest.raises(KeyRefused, match="holds no licence"):
            service.fetch(world.licensee)


def test_a_replayed_answer_is_refused(service: Service) -> None:
    licensee = service.world.licensee
    challenge = service.challenge(licensee)
    signature = challenge.sign(licensee.private_key)
    status, wrapped = service.answer(challenge, signature)
    assert status == 200
    assert unwrap(WrappedKey.of_value(wrapped), licensee.private_key)
    assert service.refused(challenge, signature) == "challenge-unknown"
    assert [entry["reason"] for entry in service.log()] == [None, "challenge-unknown"]


def test_of_many_answers_at_once_to_one_challenge_one_is_released(service: Service) -> None:
    licensee = service.world.licensee
    challenge = service.challenge(licensee)
    signature = challenge.sign(licensee.private_key)
    with ThreadPoolExecutor(12) as pool:
        statuses = Counter(pool.map(lambda _: service.answer(challenge, signature)[0], range(12)))
    assert statuses == {200: 1, 403: 11}
    assert Counter(entry["event"] for entry in service.log()) == {"released": 1, "refused": 11}


def test_an_expired_challenge_is_refused(service: Service) -> None:
    licensee = service.world.licensee
    challenge = service.challenge(licensee)
    service.clock.ahead = 61
    assert service.refused(challenge, challenge.sign(licensee.private_key)) == "challenge-expired"


def test_a_challenge_with_a_longer_life_is_not_ours(service: Service) -> None:
    licensee = service.world.licensee
    challenge = service.challenge(licensee)
    longer = replace(challenge, expires_at=challenge.expires_at + 3600)
    assert service.refused(longer, longer.sign(licensee.private_key)) == "challenge-unknown"


@pytest.mark.parametrize("change", [{"chain_id": 1}, {"contract": "0x" + "34" * 20}, {"token": 2}], ids=str)
def test_a_challenge_for_another_chain_contract_or_token_is_refused(service: Service, change: dict) -> None:
    licensee = service.world.licensee
    challenge = service.challenge(licensee)
    other = replace(challenge, **change)
    assert service.refused(other, other.sign(licensee.private_key)) == "challenge-unknown"
    again = service.challenge(licensee)
    signature = replace(again, **change).sign(licensee.private_key)
    assert service.refused(again, signature) == "signature-invalid"


def test_a_challenge_for_another_account_is_refused(service: Service) -> None:
    """The stranger answers the licensee's challenge, and puts the licensee's name into its own."""
    world = service.world
    stolen = service.challenge(world.licensee)
    assert service.refused(stolen, stolen.sign(world.stranger.private_key)) == "signature-invalid"
    own = service.challenge(world.stranger)
    renamed = replace(own, account=world.licensee.address)
    assert service.refused(renamed, renamed.sign(world.stranger.private_key)) == "challenge-unknown"


def test_a_challenge_never_issued_is_refused(service: Service) -> None:
    licensee = service.world.licensee
    made_up = Challenge.issue(service.desk.identity, licensee.address, service.world.token.token, int(time.time()))
    assert service.refused(made_up, made_up.sign(licensee.private_key)) == "challenge-unknown"


def test_a_wrong_signature_uses_the_challenge_up(service: Service) -> None:
    licensee = service.world.licensee
    challenge = service.challenge(licensee)
    assert service.refused(challenge, "0x" + "00" * 65) == "signature-invalid"
    assert service.refused(challenge, challenge.sign(licensee.private_key)) == "challenge-unknown"


def test_an_unknown_token_is_refused(service: Service) -> None:
    licensee = service.world.licensee
    challenge = service.challenge(licensee, 99)
    assert service.refused(challenge, challenge.sign(licensee.private_key)) == "token-unknown"


def test_a_service_without_the_key_says_so_and_no_more(world: SealedWorld) -> None:
    with world.ledger() as ledger:
        ledger.transfer(world.maker, world.token.token, world.stranger.address)
    with serving(world, holder=world.stranger) as service:
        challenge = service.challenge(world.licensee)
        status, problem = service.answer(challenge, challenge.sign(world.licensee.private_key))
    assert (status, problem["type"]) == (404, "urn:prov:problem:key-not-kept")
    assert "found" not in problem


def test_a_licensee_cannot_serve_the_makers_keys(world: SealedWorld) -> None:
    with serving(world) as service:
        service.fetch(world.licensee)
    with serving(world, holder=world.licensee) as service:
        challenge = service.challenge(world.licensee)
        assert service.refused(challenge, challenge.sign(world.licensee.private_key)) == "key-not-kept"


def test_an_unreachable_ledger_releases_nothing(world: SealedWorld) -> None:
    def gone() -> Any:
        raise LedgerUnavailable("the node at http://secret-node.example gives no proper answer")

    with serving(world, open_reader=gone) as service:
        challenge = service.challenge(world.licensee)
        status, problem = service.answer(challenge, challenge.sign(world.licensee.private_key))
        assert (status, problem["type"]) == (503, "urn:prov:problem:ledger-unavailable")
        assert "secret" not in json.dumps(problem)
        with pytest.raises(Unavailable, match="cannot be asked"):
            service.fetch(world.licensee)


def test_another_ledger_than_at_the_start_releases_nothing(world: SealedWorld) -> None:
    with serving(world) as service:
        service.desk.identity = replace(service.desk.identity, code_digest="00" * 32)
        challenge = service.challenge(world.licensee)
        assert service.refused(challenge, challenge.sign(world.licensee.private_key)) == "ledger-unavailable"


def test_a_log_that_cannot_be_written_releases_nothing(world: SealedWorld) -> None:
    (world.home.path / "keys.log").write_bytes(b"{}\n")
    with serving(world) as service:
        challenge = service.challenge(world.licensee)
        status, problem = service.answer(challenge, challenge.sign(world.licensee.private_key))
    assert (status, problem["type"]) == (500, "urn:prov:problem:internal")
    assert "wrapped" not in problem


def test_a_peer_that_asks_too_often_waits(world: SealedWorld) -> None:
    with serving(world, peers=RateLimit(burst=4, per_minute=1)) as service:
        path = f"/v1/challenge?account={world.licensee.address}&token=1"
        answers = [service.ask("GET", path) for _ in range(10)]
        assert [status for status, _, _ in answers] == [200] * 4 + [429] * 6
        _, problem, headers = answers[-1]
        assert problem["type"] == "urn:prov:problem:rate-limited"
        assert 1 <= int(headers["Retry-After"]) <= 60
        assert headers["Content-Type"] == "application/problem+json"
        assert [entry["reason"] for entry in service.log()] == ["rate-limited"]


def test_an_account_that_asks_too_often_waits_and_others_do_not(world: SealedWorld) -> None:
    with serving(world, accounts=RateLimit(burst=2, per_minute=1)) as service:
        outcomes = []
        for _ in range(4):
            challenge = service.challenge(world.licensee)
            outcomes.append(service.answer(challenge, challenge.sign(world.licensee.private_key))[0])
        assert outcomes == [200, 200, 429, 429]
        challenge = service.challenge(world.maker)
        assert service.answer(challenge, challenge.sign(world.maker.private_key))[0] == 200


def test_false_signatures_do_not_lock_an_account_out(world: SealedWorld) -> None:
    with serving(world, accounts=RateLimit(burst=1, per_minute=1)) as service:
        for _ in range(5):
            challenge = service.challenge(world.licensee)
            assert service.refused(challenge, challenge.sign(world.stranger.private_key)) == "signature-invalid"
        service.fetch(world.licensee)


def test_an_oversize_body_is_refused(service: Service) -> None:
    status, problem, _ = service.ask("POST", "/v1/release", b" " * 8193)
    assert (status, problem["type"]) == (413, "urn:prov:problem:too-large")


def test_an_endless_chunked_body_is_cut_off(service: Service) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as raw:
        raw.sendall(
            b"POST /v1/release HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(9):
            raw.sendall(b"400\r\n" + b" " * 1024 + b"\r\n")
        assert b" 413 " in raw.recv(4096)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{",
        b'{"challenge": {}, "signature": ""}',
        b'{"signature": ""}',
        b"[" * 4000,
        b'{"challenge": 1e999, "signature": "0x"}',
        b'{"signature": "a", "signature": "b", "challenge": {}}',
    ],
    ids=lambda body: body[:30],
)
def test_a_malformed_body_is_refused_and_logged(service: Service, body: bytes) -> None:
    status, problem, headers = service.ask("POST", "/v1/release", body)
    assert (status, problem["type"]) == (400, "urn:prov:problem:malformed-request")
    assert headers["Content-Type"] == "application/problem+json"
    assert [entry["reason"] for entry in service.log()] == ["malformed-request"]


def test_unknown_keys_are_refused_wherever_they_stand(service: Service) -> None:
    licensee = service.world.licensee
    challenge = service.challenge(licensee)
    signature, data = challenge.sign(licensee.private_key), challenge.typed_data()
    for body in (
        {"challenge": data, "signature": signature, "public_key": "02" + "11" * 32},
        {"challenge": {**data, "extra": 1}, "signature": signature},
        {"challenge": {**data, "message": {**data["message"], "publicKey": "0x"}}, "signature": signature},
        {"challenge": {**data, "domain": {**data["domain"], "salt": "0x"}}, "signature": signature},
    ):
        status, problem, _ = service.ask("POST", "/v1/release", canonical_json(body))
        assert (status, problem["type"]) == (400, "urn:prov:problem:malformed-request")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?account=0x12&token=1",
        "?token=1",
        f"?account=0x{'12' * 20}",
        f"?account=0x{'12' * 20}&token=0",
        f"?account=0x{'12' * 20}&token=-1",
        f"?account=0x{'12' * 20}&token=99999999999999999999",
        f"?account=0x{'12' * 20}&token=%EF%BC%91",
        f"?account=0x{'12' * 20}&token=1&token=2",
        f"?account=0x{'12' * 20}&token=1&extra=2",
    ],
)
def test_a_malformed_question_is_refused(service: Service, query: str) -> None:
    status, problem, _ = service.ask("GET", f"/v1/challenge{query}")
    assert (status, problem["type"]) == (400, "urn:prov:problem:malformed-request")


def test_a_form_that_a_web_page_could_send_is_refused(service: Service) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        status, problem, _ = service.ask("POST", "/v1/release", b"{}", {"Content-Type": kind})
        assert (status, problem["type"]) == (415, "urn:prov:problem:not-json")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("GET", "/v1/release", 405),
        ("DELETE", "/v1/challenge", 405),
    ],
)
def test_nothing_else_is_served(service: Service, method: str, path: str, status: int) -> None:
    found, problem, headers = service.ask(method, path)
    assert (found, problem["status"]) == (status, status)
    assert headers["Content-Type"] == "application/problem+json"
    assert "server" not in headers


def test_the_content_key_is_in_no_answer_and_no_log(service: Service) -> None:
    world = service.world
    with world.reader() as reader:
        key = own_content_key(world.home, reader.identity, world.token.weights, world.maker)
    challenge = service.challenge(world.licensee)
    _, answer = service.answer(challenge, challenge.sign(world.licensee.private_key))
    log = (world.home.path / "keys.log").read_bytes()
    for secret in (key, world.maker.private_key, world.licensee.private_key):
        assert secret.hex() not in json.dumps(answer)
        assert secret.hex().encode() not in log


def test_waiting_challenges_are_bounded_and_expired_ones_make_room(world: SealedWorld) -> None:
    with world.reader() as reader:
        identity = reader.identity
    pending = PendingChallenges()
    for _ in range(CAPACITY):
        pending.add(Challenge.issue(identity, world.maker.address, 1, 1000))
    with pytest.raises(Refusal, match="too many challenges"):
        pending.add(Challenge.issue(identity, world.maker.address, 1, 1059))
    pending.add(Challenge.issue(identity, world.maker.address, 1, 1060))
    assert len(pending._open) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_only_this_machine_is_listened_on_unless_allowed(host: str) -> None:
    with pytest.raises(UsageError, match="other machines") as refusal:
        listen(host, 0)
    assert "--allow-remote" in str(refusal.value)


def test_another_address_can_be_allowed() -> None:
    listening = listen("0.0.0.0", 0, allow_remote=True)
    assert listening.getsockname()[0] == "0.0.0.0"
    listening.close()


def test_a_port_in_use_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="cannot be listened on"):
        listen("127.0.0.1", taken.getsockname()[1])


# The client, against services that lie.


@pytest.mark.parametrize(
    "url",
    ["http://keys.example.org", "ftp://127.0.0.1", "127.0.0.1:8645", "http://u:p@127.0.0.1", "http://127.0.0.1?x"],
)
def test_the_client_refuses_other_addresses(url: str) -> None:
    with pytest.raises(UsageError):
        KeyClient(url)


def test_the_client_wants_encryption_on_the_way_to_another_machine() -> None:
    with pytest.raises(UsageError, match="not on this machine"):
        KeyClient("http://keys.example.org", allow_remote=True)
    with pytest.raises(UsageError, match="--allow-remote"):
        KeyClient("https://keys.example.org")
    KeyClient("https://keys.example.org", allow_remote=True)


@contextmanager
def lying(answers: list[tuple[int, bytes]]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives these answers, whatever is asked; the requests it got."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            status, body = answers[len(got) - 1]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", got
        finally:
            server.shutdown()
            thread.join()


def fetch_from(url: str, world: SealedWorld) -> None:
    with world.reader() as reader:
        fetch_key(url, world.token.token, home=world.home, reader=reader, store=world.store, account=world.licensee)


def honest(world: SealedWorld, **change: Any) -> bytes:
    with world.reader() as reader:
        issued = Challenge.issue(reader.identity, world.licensee.address, world.token.token, int(time.time()))
    return canonical_json(replace(issued, **change).typed_data())


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": 1},
        {"contract": "0x" + "34" * 20},
        {"account": "0x" + "56" * 20},
        {"token": 77},
        {"expires_at": 2**40},
        {"issued_at": 1, "expires_at": 61},
    ],
    ids=str,
)
def test_the_client_signs_nothing_but_what_it_asked_for(world: SealedWorld, change: dict) -> None:
    with lying([(200, honest(world, **change))]) as (url, got):
        with pytest.raises(KeyRefused):
            fetch_from(url, world)
        assert len(got) == 1


def test_the_client_signs_no_typed_data_of_another_type(world: SealedWorld) -> None:
    data = parse_json(honest(world), "")
    data["primaryType"] = "Permit"
    with lying([(200, canonical_json(data))]) as (url, got), pytest.raises(FormatError, match="malformed"):
        fetch_from(url, world)
    assert len(got) == 1


def test_the_client_refuses_a_false_key(world: SealedWorld) -> None:
    from provenance.sealing import public_key_of
    from provenance.sealing.cipher import new_content_key
    from provenance.sealing.wrapping import wrap

    with world.reader() as reader:
        identity = reader.identity
    right = {"identity": identity, "weights": world.token.weights, "maker": world.maker.address}
    mine = public_key_of(world.licensee.private_key)
    false = wrap(new_content_key(), **right, public_key=mine)
    foreign = wrap(new_content_key(), **right, public_key=public_key_of(world.stranger.private_key))
    other = wrap(new_content_key(), **{**right, "weights": "12" * 32}, public_key=mine)
    for wrapped, error in ((false, SealRefused), (foreign, SealRefused), (other, KeyRefused)):
        with lying([(200, honest(world)), (200, wrapped.to_bytes())]) as (url, _), pytest.raises(error):
            fetch_from(url, world)
    assert Keyring.of_home(world.home, identity).find(world.token.weights, world.licensee.address) is None


@pytest.mark.parametrize(
    "answer",
    [(200, b"x" * 70_000), (200, b"<html>"), (302, b""), (500, b"oops"), (404, b"{}"), (403, b'{"type": 1}')],
    ids=lambda answer: f"{answer[0]}-{answer[1][:6]!r}",
)
def test_answers_that_are_no_answers_are_named(world: SealedWorld, answer: tuple[int, bytes]) -> None:
    with lying([answer]) as (url, got), pytest.raises(Unavailable, match="gives no proper answer"):
        fetch_from(url, world)
    assert len(got) == 1


def test_control_characters_of_a_service_do_not_reach_the_terminal(world: SealedWorld) -> None:
    problem = {"type": "urn:prov:problem:no-licence", "title": "\x1b[2Jno", "fix": "\u202egnp"}
    with lying([(403, canonical_json(problem))]) as (url, _), pytest.raises(KeyRefused) as refusal:
        fetch_from(url, world)
    assert "\x1b" not in str(refusal.value)
    assert "\u202e" not in str(refusal.value)


def test_nobody_listening_is_named(world: SealedWorld) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unavailable, match="gives no proper answer"):
        fetch_from(f"http://127.0.0.1:{port}", world)


def test_an_unknown_token_is_not_asked_for(world: SealedWorld) -> None:
    with lying([]) as (url, got), world.reader() as reader, pytest.raises(LedgerLookupError):
        fetch_key(url, 99, home=world.home, reader=reader, store=world.store, account=world.licensee)
    assert got == []

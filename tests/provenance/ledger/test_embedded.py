"""The embedded chain: it keeps what it acknowledged, and processes take turns."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from provenance.errors import LedgerRefused, LedgerUnavailable
from provenance.home import Home
from provenance.ledger import open_ledger, open_reader
from provenance.ledger.accounts import KeystoreAccount, account_from_key, create_account
from provenance.ledger.chain_file import chain_folder, chain_path
from provenance.ledger.embedded import POCKET_MONEY, EmbeddedLedger, chain_lock, open_embedded_ledger
from provenance.ledger.licences import Terms

KILLS = 20
WORKER = """
import secrets, sys
from pathlib import Path
from provenance.home import Home
from provenance.ledger import open_ledger
from provenance.ledger.accounts import load_account
home = Home.open(Path(sys.argv[1]))
ledger, account = open_ledger(home), load_account(home, sys.argv[2])
for _ in range(int(sys.argv[3])):
    digest = secrets.token_hex(32)
    ledger.register_issuer(account, digest)
    print(digest, flush=True)
"""


def worker(home: Home, account: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(home.path), account, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])


def test_chain_is_reopened_with_everything_it_held(home: Home, filled: EmbeddedLedger) -> None:
    again = open_embedded_ledger(home)
    reader = open_reader(home)
    try:
        for other in (again, reader):
            assert other.identity == filled.identity
            assert other.head() == filled.head()
            assert other.tokens() == filled.tokens()
            assert other.batches(1) == filled.batches(1)
            assert other.licences(1) == filled.licences(1)
        assert again.call("totalAdapters") == 2
    finally:
        again.close()
        reader.close()


def test_every_home_has_a_chain_of_its_own(tmp_path: Path) -> None:
    ledgers = [open_ledger(Home.create(tmp_path / name)) for name in ("a", "b")]
    ids = {each.identity.chain_id for each in ledgers}
    assert len(ids) == 2
    assert len({each.identity.genesis for each in ledgers}) == 2
    assert all(2**44 <= each < 2**45 for each in ids)
    for each in ledgers:
        each.close()


def test_chain_and_faucet_key_are_private(home: Home, ledger: EmbeddedLedger) -> None:
    for name in ("chain.sqlite", "faucet.key", "lock"):
        assert stat.S_IMODE((chain_folder(home) / name).stat().st_mode) == 0o600


def test_refused_transaction_leaves_no_block(ledger: EmbeddedLedger, maker: KeystoreAccount) -> None:
    ledger.open_stream(maker)
    before, balance = ledger.head(), ledger.balance(maker.address)
    with pytest.raises(LedgerRefused):
        ledger.open_stream(maker, 7)
    assert ledger.head() == before
    assert ledger.balance(maker.address) == balance
    assert ledger.open_stream(maker).stream == 2


def test_new_account_gets_pocket_money_and_more_on_request(ledger: EmbeddedLedger, maker: KeystoreAccount) -> None:
    assert ledger.balance(maker.address) == 0
    ledger.open_stream(maker)
    assert 0.99 * POCKET_MONEY < ledger.balance(maker.address) < POCKET_MONEY
    assert ledger.fund(maker.address) > 1.99 * POCKET_MONEY


def test_poor_account_is_told_how_to_get_money(ledger: EmbeddedLedger, maker: KeystoreAccount) -> None:
    token = ledger.mint(maker, weights="01" * 32, dataset="02" * 32, base="03" * 32, terms="00" * 32, cid="cid").token
    ledger.make_offer(maker, token, Terms(price=2 * POCKET_MONEY, duration=60))
    poor = account_from_key("poor", secrets.token_bytes(32))
    with pytest.raises(LedgerRefused, match="prov account fund poor"):
        ledger.buy(poor, token)
    ledger.fund(poor.address)
    ledger.fund(poor.address)
    ledger.fund(poor.address)
    assert ledger.buy(poor, token).licensee == poor.address


def test_expiry_is_strict_and_read_against_the_clock(tmp_path: Path) -> None:
    now = [1_800_000_000]
    ledger = open_embedded_ledger(Home.create(tmp_path / "home"), clock=lambda: now[0])
    owner, user = (account_from_key(name, secrets.token_bytes(32)) for name in ("owner", "user"))
    ledger.mint(owner, weights="01" * 32, dataset="02" * 32, base="03" * 32, terms="00" * 32, cid="cid")
    expires = ledger.grant(owner, 1, user.address, expires=now[0] + 100).expires
    for second, expected in ((expires - 1, True), (expires, False), (expires + 1, False)):
        now[0] = second
        assert ledger.has_licence(1, user.address) is expected
        assert ledger.call("hasLicense", 1, user.address) is expected
    ledger.close()


def test_transaction_signed_for_another_chain_is_refused(ledger: EmbeddedLedger, maker: KeystoreAccount) -> None:
    class Confused(KeystoreAccount):
        def sign_transaction(self, transaction: dict[str, object]) -> bytes:
            return super().sign_transaction({**transaction, "chainId": 1})

    confused = Confused(maker.name, maker.address, maker.private_key)
    with pytest.raises(LedgerRefused, match="refuses the transaction"):
        ledger.open_stream(confused)
    assert ledger.streams() == ()


def test_busy_chain_names_the_process_that_holds_it(home: Home, ledger: EmbeddedLedger) -> None:
    folder = chain_folder(home)
    with (
        chain_lock(folder),
        pytest.raises(LedgerUnavailable, match=f"held by process {os.getpid()}"),
        chain_lock(folder, seconds=0.1),
    ):
        pytest.fail("two held the lock")


def test_home_without_a_chain_says_how_to_make_one(home: Home) -> None:
    with pytest.raises(LedgerUnavailable, match="prov chain up"):
        open_reader(home)


@pytest.mark.parametrize("opener", [open_reader, open_ledger])
def test_file_that_is_no_chain_is_unavailable_and_stays_as_it_is(home: Home, opener: Callable[[Home], object]) -> None:
    chain_folder(home).mkdir()
    chain_path(home).write_bytes(b"not a database" * 100)
    with pytest.raises(LedgerUnavailable):
        opener(home)
    assert chain_path(home).read_bytes() == b"not a database" * 100


@pytest.mark.parametrize("opener", [open_reader, open_ledger])
def test_chain_of_a_newer_layout_is_refused(
    home: Home, ledger: EmbeddedLedger, opener: Callable[[Home], object]
) -> None:
    connection = sqlite3.connect(chain_path(home))
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    with pytest.raises(LedgerUnavailable, match="newer prov"):
        opener(home)


def test_interrupted_creation_is_made_good(home: Home) -> None:
    folder = chain_folder(home)
    folder.mkdir()
    sqlite3.connect(chain_path(home)).close()
    (folder / "faucet.key").write_bytes(b"\7" * 32)
    ledger = open_ledger(home)
    assert ledger.head().block == 1
    ledger.close()


def test_killed_processes_lose_nothing_they_acknowledged_and_double_nothing() -> None:
    """The committed command with fewer kills; `python -m benchmarks.chain_crash` alone does 200."""
    command = [sys.executable, "-m", "benchmarks.chain_crash", "--kills", str(KILLS), "--writers", "8"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=120)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["lost"], outcome["doubled"]) == (0, 0)
    assert outcome["kills"] == KILLS + 8
    assert outcome["acknowledged"] >= KILLS
    assert outcome["on_chain"] <= outcome["begun"]


def test_killed_process_leaves_its_last_acknowledged_transaction_in_the_evm(home: Home) -> None:
    account = create_account(home, "maker")
    open_ledger(home).close()
    process = worker(home, "maker", 1000)
    assert process.stdout
    acknowledged = {process.stdout.readline().strip()}
    process.send_signal(signal.SIGKILL)
    acknowledged |= {line.strip() for line in process.stdout if line.endswith("\n")}
    process.stdout.close()
    process.wait()
    ledger = open_embedded_ledger(home)
    assert all(ledger.call("isIssuer", account.address, digest, ledger.now()) for digest in acknowledged)
    assert ledger.register_issuer(account, "0f" * 32) > acknowledged
    ledger.close()


def test_processes_at_once_take_turns(home: Home) -> None:
    for name in ("first", "second"):
        create_account(home, name)
    open_ledger(home).close()
    processes = [worker(home, name, 8) for name in ("first", "second", "second")]
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    reader = open_reader(home)
    sent = {digest for output in outputs for digest in output}
    assert len(sent) == 24
    assert {e.values["rootDigest"] for e in reader._events("IssuerRegistered")} == sent  # type: ignore[attr-defined]
    assert reader.head().block == 1 + 24
    reader.close()


def test_processes_that_make_the_chain_at_once_make_one(home: Home) -> None:
    create_account(home, "maker")
    processes = [worker(home, "maker", 1) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    for process in processes:
        assert process.stdout
        process.stdout.close()
    reader = open_reader(home)
    assert reader.head().block == 1 + 3
    reader.close()

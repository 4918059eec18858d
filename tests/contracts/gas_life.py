"""A scripted life of the ledger in which every operation happens in the states that change its price."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from provenance.ledger.accounts import KeystoreAccount
from provenance.ledger.contributors import ContributorsTree
from provenance.ledger.licences import NEVER, Minting, Shares, Terms, Usage, Voucher
from tests.contracts.solidity import arguments, word

if TYPE_CHECKING:
    from tests.contracts.world import World

DAY = 24 * 3600
PRICE = 10**16
MONTH = Terms(price=PRICE, duration=30 * DAY)
LIMITED = Terms(price=PRICE, duration=30 * DAY, quota=2_000_000, transferable=True)
REASON = "terms broken"
CONTRIBUTORS = 100


class Life:
    """Runs operations and notes what each cost; tokens are known by their number, in the order they are minted."""

    def __init__(self, world: World, coins: dict[str, bytes] | None = None) -> None:
        self.world = world
        self.gas: dict[str, int] = {}
        self._coins = coins
        self._minted = 0
        self._safety = world.account("safety")
        self._buyers = [world.account(f"buyer {number}") for number in range(6)]
        people = [world.maker, world.licensee, world.stranger, *self._buyers]
        parts = {account.address: 1_000_000 // CONTRIBUTORS for account in people}
        for number in range(CONTRIBUTORS - len(parts)):
            parts["0x" + f"{number + 1:02x}" * 20] = 1_000_000 // CONTRIBUTORS
        self._tree = ContributorsTree.of(parts)

    def run(self) -> dict[str, int]:
        """The gas of each operation, by its name in the table."""
        self._mints()
        self._sales()
        self._vouchers()
        self._use()
        self._ends()
        self._shares()
        self._roles()
        if self._coins is not None:
            self._contracts(self._coins)
        return self.gas

    @contextmanager
    def _row(self, name: str) -> Iterator[None]:
        yield
        self.gas[name] = self.world.gas

    def _mint(self, name: str, maker: KeystoreAccount, base: str, shares: Shares = Shares(), parents: int = 0) -> None:
        self._minted += 1
        minting = Minting(
            maker=maker.address,
            weights=f"{self._minted:02x}" * 32,
            dataset=f"{100 + self._minted:02x}" * 32,
            base=base * 32,
            terms="7e" * 32,
            cid=self.world.cid,
            salt=f"{200 + self._minted:02x}" * 32,
            shares=shares,
            parents=tuple(range(1, parents + 1)),
        )
        sender = self.world.stranger if "relayed" in name else maker
        signature = self.world.sign_minting(maker, minting) if "relayed" in name else b""
        with self._row("commit to a mint"):
            self.world.ledger.commit_mint(sender, minting)
        with self._row(name):
            self.world.ledger.mint_for(sender, minting, signature)

    def _mints(self) -> None:
        maker, other = self.world.maker, self.world.licensee
        open_to_all = Shares(derivable=True, derivative=100)
        shares = Shares(contributors=1000, contributors_root=self._tree.root)
        self._mint("mint: the ledger's first", maker, "ba", open_to_all)
        self._mint("mint", maker, "ba", open_to_all)
        self._mint("mint: on a new base", maker, "bb", open_to_all)
        self._mint("mint: an account's first", other, "ba", open_to_all)
        self._mint("mint: an account's first, on a new base", self._buyers[5], "bc", open_to_all)
        self._mint("mint: relayed with a signature", maker, "ba", open_to_all)
        self._mint("mint: one parent", maker, "ba", open_to_all, parents=1)
        self._mint("mint: with contributors", maker, "ba", replace(shares, derivable=True))
        self._mint("mint: eight parents and contributors", maker, "ba", shares, parents=8)

    def _sales(self) -> None:
        ledger, maker, buyers = self.world.ledger, self.world.maker, self._buyers
        with self._row("offer: a token's first"):
            ledger.make_offer(maker, 1, MONTH)
        with self._row("offer"):
            ledger.make_offer(maker, 1, LIMITED)
        with self._row("buy: first purchase, very first sale"):
            ledger.buy(buyers[0], 1, number=1)
        with self._row("buy: first purchase"):
            ledger.buy(buyers[1], 1, number=1)
        with self._row("buy: renewal"):
            ledger.buy(buyers[1], 1, number=1)
        with self._row("buy: first purchase, with a quota"):
            ledger.buy(buyers[2], 1, number=2)
        with self._row("buy: renewal, with a quota"):
            ledger.buy(buyers[2], 1, number=2)
        with self._row("grant"):
            ledger.grant(maker, 1, buyers[3].address, expires=NEVER)
        ledger.make_offer(maker, 1, MONTH)
        with self._row("close an offer"):
            ledger.close_offer(maker, 1, 3)

    def _vouchers(self) -> None:
        world, maker, buyers = self.world, self.world.maker, self._buyers
        for nonce, (name, terms) in enumerate(
            (
                ("redeem a paid voucher: a signer's first", MONTH),
                ("redeem a paid voucher", MONTH),
                ("redeem a free voucher", Terms(duration=30 * DAY)),
            )
        ):
            voucher, signature = self._voucher(buyers[nonce], terms, 50 * (nonce + 1))
            with self._row(name):
                world.ledger.redeem(buyers[nonce], voucher, signature)
        with self._row("cancel a voucher"):
            world.ledger.cancel_voucher(maker, 99)

    def _use(self) -> None:
        world, ledger, buyers = self.world, self.world.ledger, self._buyers
        with self._row("open a stream: without an adapter"):
            free = ledger.open_stream(world.stranger).stream
        with self._row("open a stream"):
            plain = ledger.open_stream(buyers[1], 1).stream
        counted = ledger.open_stream(buyers[2], 1).stream
        own = ledger.open_stream(world.maker, 1).stream
        for name, account, stream in (
            ("anchor: without an adapter", world.stranger, free),
            ("anchor", buyers[1], plain),
            ("anchor: with a quota", buyers[2], counted),
            ("anchor: by the owner", world.maker, own),
        ):
            with self._row(f"{name}, a stream's first"):
                world.anchor(account, stream, 0, 1000)
            with self._row(name):
                world.anchor(account, stream, 1000, 1000)
            with self._row(f"{name}, 1,000,000 images"):
                world.anchor(account, stream, 2000, 1_000_000)
        for name, used in (("settle: a licence's first", 50_000), ("settle", 60_000)):
            usage, signature = self._usage(buyers[2], used)
            with self._row(name):
                ledger.settle(world.maker, usage, signature)
        for used in (0x12345601, 0x12345701):
            usage, signature = self._usage(buyers[3], used)
            with self._row("settle: a total of nine digits"):
                ledger.settle(world.maker, usage, signature)
        with self._row("consume"):
            ledger.consume(buyers[2], 1, 10)

    def _voucher(self, licensee: KeystoreAccount, terms: Terms, nonce: int) -> tuple[Voucher, bytes]:
        """A voucher whose signature has no zero byte."""
        while True:
            voucher = Voucher(2, licensee.address, terms, nonce, deadline=NEVER)
            signature = self.world.sign_voucher(self.world.maker, voucher)
            if 0 not in signature:
                return voucher, signature
            nonce += 1

    def _usage(self, user: KeystoreAccount, used: int) -> tuple[Usage, bytes]:
        """A report whose signature and total have no zero byte."""
        while True:
            usage = Usage(1, user.address, used)
            signature = self.world.sign_usage(user, usage)
            if 0 not in signature and used % 256:
                return usage, signature
            used += 1

    def _ends(self) -> None:
        world, ledger, maker, buyers = self.world, self.world.ledger, self.world.maker, self._buyers
        with self._row("hand a licence on"):
            ledger.transfer_licence(buyers[2], 1, buyers[4].address)
        world.advance(DAY)
        with self._row("revoke with a refund"):
            ledger.revoke(maker, 1, buyers[1].address, reason=REASON)
        with self._row("revoke a licence that was given"):
            ledger.revoke(maker, 1, buyers[3].address, reason=REASON)
        with self._row("renounce"):
            ledger.renounce(buyers[0], 1)
        with self._row("withdraw"):
            ledger.withdraw(maker)
        with self._row("transfer an adapter"):
            ledger.transfer(maker, 3, world.stranger.address)
        with self._row("withdraw an adapter for good"):
            ledger.revoke_adapter(maker, 6, reason=REASON)

    def _shares(self) -> None:
        world, ledger, maker, buyers = self.world, self.world.ledger, self.world.maker, self._buyers
        # Token 9 has eight parents and contributors; its pools are fresh.
        ledger.make_offer(maker, 9, MONTH)
        with self._row("buy: first purchase, parents and contributors share, very first sale"):
            ledger.buy(buyers[0], 9)
        with self._row("buy: first purchase, parents and contributors share"):
            ledger.buy(buyers[1], 9)
        with self._row("buy: renewal, parents and contributors share"):
            ledger.buy(buyers[1], 9)
        with self._row("collect a parent's share"):
            ledger.collect(world.stranger, 9, 1)
        proof = self._tree.proof(buyers[5].address)
        with self._row("claim a contributor's share (100 contributors), first"):
            ledger.claim(buyers[5], 9, buyers[5].address, self._tree.part(buyers[5].address), proof)
        proof = self._tree.proof(buyers[4].address)
        with self._row("claim a contributor's share (100 contributors)"):
            ledger.claim(buyers[4], 9, buyers[4].address, self._tree.part(buyers[4].address), proof)

    def _roles(self) -> None:
        world, ledger = self.world, self.world.ledger
        with self._row("appoint the safety account"):
            ledger.appoint_safety(world.operator, self._safety.address)
        with self._row("take down"):
            ledger.take_down(self._safety, 2, reason="0f" * 32)
        with self._row("reinstate"):
            ledger.reinstate(self._safety, 2, reason="0f" * 32)
        with self._row("withdraw consent to a record"):
            ledger.revoke_consent(world.maker, 2, record="0c" * 32, reason=REASON)
        with self._row("register an issuer"):
            ledger.register_issuer(world.maker, "0a" * 32)
        with self._row("revoke an issuer"):
            ledger.revoke_issuer(world.maker, "0a" * 32, reason=REASON)
        with self._row("pause"):
            ledger.set_paused(world.operator, True)
        ledger.set_paused(world.operator, False)

    def _contracts(self, coins: dict[str, bytes]) -> None:
        """What needs code of others: a coin, and a contract that asks for a licence."""
        world, ledger, maker, buyers = self.world, self.world.ledger, self.world.maker, self._buyers
        coin = world.deploy(world.stranger, coins["Coin"])
        # An adapter without parents and contributors, and buyers without a licence for it.
        first, second = buyers[3:5]
        for buyer in (first, second):
            world.transact(world.stranger, coin, arguments("mint(address,uint256)", buyer.address, 10 * PRICE))
        terms = Terms(price=PRICE, duration=30 * DAY, currency=coin)
        ledger.make_offer(maker, 2, terms)
        with self._row("buy: first purchase with a coin, very first sale"):
            ledger.buy(first, 2)
        with self._row("buy: first purchase with a coin"):
            ledger.buy(second, 2)
        with self._row("buy: renewal with a coin"):
            ledger.buy(second, 2)
        with self._row("withdraw a coin"):
            ledger.withdraw(maker, currency=coin)
        asker = world.deploy(world.stranger, coins["Asker"])
        contract = ledger.identity.contract
        for name, account in (("a licensee", second), ("the owner", maker), ("a stranger", world.stranger)):
            answer = world.view(asker, arguments("ask(address,uint256,address)", contract, 2, account.address))
            assert answer[:32] == word(int(account != world.stranger))
            self.gas[f"hasLicense, asked by a contract: of {name}"] = int.from_bytes(answer[32:], "big")

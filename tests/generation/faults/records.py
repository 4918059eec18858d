"""Faults of what must be written: the log of what was blocked, the key of prompts, the journal, and the picture."""

from __future__ import annotations

import json
from pathlib import Path

from generation.screening import PromptKey
from provenance.journal import Journal
from safety.decision import Decision
from safety.log import BlockedLog
from safety.log_head import head_path
from tests.generation.faults.answers import tower_raises
from tests.generation.faults.site import Site, fault, while_disk_is_full

BLOCKED = Decision(
    False, "prompt", "a" * 64, "b" * 64, rule="violence/term:gore", reason="the prompt asks for violence"
)
NO_LOG = ("safety.log", "do next")


def log_lines(site: Site, count: int = 3) -> None:
    log = BlockedLog(site.log)
    for _ in range(count):
        log.append(BLOCKED, hmac="c" * 64)


@fault(*NO_LOG, "cannot be written", logged=None)
def the_log_is_a_folder(site: Site) -> None:
    site.log.unlink()
    site.log.mkdir()


@fault(*NO_LOG, "cannot be written", logged=None)
def the_log_is_a_link_to_itself(site: Site) -> None:
    site.log.unlink()
    site.log.symlink_to(site.log)


@fault(*NO_LOG, "cannot be written", logged=None)
def the_log_is_a_link_to_where_nothing_is_kept(site: Site) -> None:
    site.log.unlink()
    site.log.symlink_to("/dev/null")


@fault(*NO_LOG, "prov audit verify", logged=None)
def the_last_line_of_the_log_was_altered(site: Site) -> None:
    log_lines(site)
    lines = site.log.read_bytes().splitlines(keepends=True)
    site.log.write_bytes(b"".join([*lines[:-1], lines[-1].replace(b"gore", b"love")]))


@fault(*NO_LOG, "cut or changed", "prov audit verify", logged=None)
def lines_were_cut_off_the_log(site: Site) -> None:
    log_lines(site)
    lines = site.log.read_bytes().splitlines(keepends=True)
    site.log.write_bytes(lines[0])


@fault(*NO_LOG, "cut or changed", "prov audit verify", logged=None)
def the_log_was_emptied(site: Site) -> None:
    log_lines(site)
    site.log.write_bytes(b"")


@fault("safety.log.head", "do next", logged=None)
def the_head_of_the_log_was_altered(site: Site) -> None:
    log_lines(site)
    head_path(site.log).write_text(json.dumps({"type": "urn:prov:blocked-head:v1", "sequence": 2, "hash": "d" * 64}))


@fault("safety.log.head", "do next", logged=None)
def a_folder_stands_in_place_of_the_logs_head(site: Site) -> None:
    head_path(site.log).mkdir()


@fault(*NO_LOG, "cannot be written", "File too large", logged=None)
def the_disk_is_full_when_a_blocked_prompt_is_logged(site: Site) -> None:
    site.request["prompts"] = ("a scene of gore",)
    site.patch.setattr(BlockedLog, "append", while_disk_is_full(BlockedLog.append))


@fault(*NO_LOG, "cannot be written", "File too large", logged=None)
def the_disk_is_full_when_a_blocked_picture_is_logged(site: Site) -> None:
    tower_raises(site, "encode_image", MemoryError())
    site.patch.setattr(BlockedLog, "append", while_disk_is_full(BlockedLog.append))


@fault(*NO_LOG, "cannot be written", "File too large", logged=1)
def the_disk_is_full_when_the_logs_head_is_kept(site: Site) -> None:
    import safety.log

    tower_raises(site, "encode_image", MemoryError())
    site.patch.setattr(safety.log, "keep_head", while_disk_is_full(safety.log.keep_head))


@fault("prompt.key", "32 bytes", "do next")
def the_key_of_prompts_is_empty(site: Site) -> None:
    (site.home.path / "prompt.key").write_bytes(b"")


@fault("prompt.key", "32 bytes", "do next")
def the_key_of_prompts_is_cut_short(site: Site) -> None:
    (site.home.path / "prompt.key").write_bytes(b"k" * 31)


@fault("prompt.key", "32 bytes", "do next")
def the_key_of_prompts_is_too_long(site: Site) -> None:
    (site.home.path / "prompt.key").write_bytes(b"k" * 33)


@fault("prompt.key", "do next")
def the_key_of_prompts_is_a_folder(site: Site) -> None:
    key = site.home.path / "prompt.key"
    key.unlink()
    key.mkdir()


@fault("prompt.key", "do next")
def the_key_of_prompts_is_a_link_to_itself(site: Site) -> None:
    key = site.home.path / "prompt.key"
    key.unlink()
    key.symlink_to(key)


@fault("prompt.key", "cannot be written", "do next")
def the_disk_is_full_when_the_key_of_prompts_is_made(site: Site) -> None:
    (site.home.path / "prompt.key").unlink()
    site.patch.setattr(PromptKey, "of_home", while_disk_is_full(PromptKey.of_home))


@fault("identity", "do next")
def the_issuers_key_is_cut_short(site: Site) -> None:
    key = site.home.path / "identity" / "issuer.key.pem"
    key.write_bytes(key.read_bytes()[:100])


@fault("identity", "do next")
def the_issuers_key_is_missing(site: Site) -> None:
    (site.home.path / "identity" / "issuer.key.pem").unlink()


@fault("chain", "do next")
def the_chain_is_no_chain(site: Site) -> None:
    for path in (site.home.path / "chain").glob("chain.sqlite*"):
        path.write_bytes(b"no chain" * 600)


@fault("journal.sqlite", "do next")
def the_journal_is_a_folder(site: Site) -> None:
    journal = site.home.path / "journal.sqlite"
    journal.unlink()
    journal.mkdir()


@fault("journal.sqlite", "do next")
def the_journal_is_no_journal(site: Site) -> None:
    (site.home.path / "journal.sqlite").write_bytes(b"no journal" * 600)


@fault("journal", "do next")
def a_file_stands_in_place_of_the_journals_owners(site: Site) -> None:
    owners = site.home.path / "journal.owners"
    owners.rmdir()
    owners.write_bytes(b"")


@fault("journal", "do next")
def the_disk_is_full_when_a_serial_is_reserved(site: Site) -> None:
    site.patch.setattr(Journal, "reserve", while_disk_is_full(Journal.reserve))


@fault("journal", "do next")
def the_disk_is_full_when_the_record_is_stored(site: Site) -> None:
    site.patch.setattr(Journal, "store", while_disk_is_full(Journal.store))


@fault("journal", "do next")
def the_disk_is_full_when_the_journal_is_made(site: Site) -> None:
    (site.home.path / "journal.sqlite").unlink()
    site.patch.setattr(Journal, "__init__", while_disk_is_full(Journal.__init__))


@fault("chain", "do next")
def the_disk_is_full_when_a_stream_is_opened(site: Site) -> None:
    from provenance.ledger.embedded import EmbeddedLedger

    (site.home.path / "journal.sqlite").unlink()
    site.patch.setattr(EmbeddedLedger, "open_stream", while_disk_is_full(EmbeddedLedger.open_stream))


@fault("cannot be written", "File too large", "do next", recorded=1)
def the_disk_is_full_when_the_picture_is_written(site: Site) -> None:
    import provenance.issuing

    site.patch.setattr(provenance.issuing, "write_file", while_disk_is_full(provenance.issuing.write_file))


@fault("cannot be written", "File too large", "do next", recorded=1)
def the_disk_is_full_when_half_of_the_picture_is_written(site: Site) -> None:
    import provenance.issuing

    site.patch.setattr(provenance.issuing, "write_file", while_disk_is_full(provenance.issuing.write_file, room=40_000))


@fault("cannot be written", "out", "do next", recorded=1)
def the_output_folder_is_a_file(site: Site) -> None:
    site.out.write_bytes(b"")


@fault("cannot be written", "out", "do next", recorded=1)
def the_output_folder_is_a_link_to_itself(site: Site) -> None:
    site.out.symlink_to(site.out)


@fault("cannot be written", "prov-", "do next", recorded=1)
def a_folder_stands_in_place_of_the_picture(site: Site) -> None:
    with Journal.of_home(site.home) as journal:
        (stream,) = journal.streams()
        serial = journal.next_serial(stream)
    Path(site.out / f"prov-{stream}-{serial}.png").mkdir(parents=True)

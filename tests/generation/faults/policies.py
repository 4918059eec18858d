"""Faults of the policy: one that cannot be read, that says something impossible, or that was changed after signing."""

from __future__ import annotations

import json
from pathlib import Path

from provenance.home import Home
from tests.generation.faults.site import Site, fault

INVALID = ("is not a valid policy", "correct every line above")


def signed(site: Site, home: Home) -> Path:
    """The policy as its signed folder, which the request then names."""
    from provenance.identity import load_issuer
    from provenance.policy_signature import sign_policy

    folder = site.root / "signed"
    sign_policy(site.policy, folder, load_issuer(home))
    site.request["policy"] = folder
    return folder


@fault("cannot be read", "No such file", "check --policy")
def the_policy_is_missing(site: Site) -> None:
    site.policy.unlink()


@fault("do next")
def the_policy_is_a_folder_of_nothing(site: Site) -> None:
    site.policy.unlink()
    site.policy.mkdir()


@fault("cannot be read", "symbolic links", "check --policy")
def the_policy_is_a_link_to_itself(site: Site) -> None:
    site.policy.unlink()
    site.policy.symlink_to(site.policy)


@fault(*INVALID, "not a mapping")
def the_policy_is_empty(site: Site) -> None:
    site.policy.write_bytes(b"")


@fault("not valid YAML", "do next")
def the_policy_is_no_yaml(site: Site) -> None:
    site.policy.write_text("concepts: [skull")


@fault("not valid YAML", "do next")
def the_policy_is_binary(site: Site) -> None:
    site.policy.write_bytes(bytes(range(256)))


@fault("too large", "at most 1048576 bytes", "do next")
def the_policy_is_huge(site: Site) -> None:
    with site.policy.open("ab") as file:
        file.write(b"#" * (1 << 20))


@fault("nested too deeply", "at most 16 levels")
def the_policy_is_nested_without_end(site: Site) -> None:
    site.policy.write_text("[" * 100_000)


@fault("uses an alias", "do next")
def the_policy_is_made_of_aliases(site: Site) -> None:
    site.policy.write_text("a: &a [x, x]\nb: [*a, *a]\n")


@fault(*INVALID, "unknown key 'strict'")
def the_policy_has_a_key_that_is_not_known(site: Site) -> None:
    site.change_policy(lambda policy: policy.update(strict=False))


@fault(*INVALID, "on_error is 'allow'; only block is possible")
def the_policy_asks_to_let_errors_pass(site: Site) -> None:
    site.change_policy(lambda policy: policy.update(on_error="allow"))


@fault(*INVALID, "concepts is not a mapping of 1 to 200 concepts")
def the_policy_forbids_nothing(site: Site) -> None:
    site.change_policy(lambda policy: policy.update(concepts={}))


@fault(*INVALID, "thresholds is missing")
def a_concept_has_no_thresholds(site: Site) -> None:
    site.change_policy(lambda policy: policy["concepts"]["violence"].pop("thresholds"))


@fault(*INVALID, "thresholds has none for open_clip")
def a_concept_has_no_threshold_for_the_filter(site: Site) -> None:
    site.change_policy(lambda policy: policy["concepts"]["violence"].update(thresholds={}))


@fault(*INVALID, "not a number above 0 and at most 1")
def a_threshold_is_not_a_number(site: Site) -> None:
    site.change_policy(lambda policy: policy["concepts"]["violence"].update(thresholds={"open_clip": float("nan")}))


@fault(*INVALID, "not a number above 0 and at most 1")
def a_threshold_is_out_of_reach(site: Site) -> None:
    site.change_policy(lambda policy: policy["concepts"]["violence"].update(thresholds={"open_clip": 1.5}))


@fault(*INVALID, "anchors is empty")
def a_concept_has_nothing_to_compare_with(site: Site) -> None:
    site.change_policy(lambda policy: policy["concepts"]["violence"].update(anchors=[]))


@fault(*INVALID, "filter.kind is 'none'")
def the_policy_asks_for_no_filter(site: Site) -> None:
    site.change_policy(lambda policy: policy.update(filter={"kind": "none"}))


@fault("not what was signed", "prov policy sign")
def a_signed_policy_was_changed(site: Site) -> None:
    policy = signed(site, site.home) / "policy.yaml"
    policy.write_text(policy.read_text().replace("block: 1.0", "block: 0.9"))


@fault("do next")
def the_signature_of_a_policy_was_changed(site: Site) -> None:
    statement = signed(site, site.home) / "policy.dsse.json"
    value = json.loads(statement.read_text())
    signature = value["signatures"][0]["sig"]
    value["signatures"][0]["sig"] = signature[:8] + ("A" if signature[8] != "A" else "B") + signature[9:]
    statement.write_text(json.dumps(value))


@fault("do next")
def the_signature_of_a_policy_is_missing(site: Site) -> None:
    (signed(site, site.home) / "policy.dsse.json").unlink()


@fault("not trusted here", "do next")
def a_policy_is_signed_by_a_stranger(site: Site) -> None:
    from provenance.identity import create_issuer

    stranger = Home.create(site.root / "stranger")
    create_issuer(stranger, "Somebody", None)
    signed(site, stranger)

"""Who made what from what: identity, manifests, envelopes, content ids, stores, ledger client, verification."""

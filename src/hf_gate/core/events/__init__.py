"""The events of the ledger, the hash chain that links them, and the states that are folded from them."""

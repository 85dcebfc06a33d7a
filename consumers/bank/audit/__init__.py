"""The audit: an independent witness of the ten invariants of docs/invariants.md.

It shares the codec with the Bank and nothing else: what it says about verdicts, order,
chains and balances it works out again from the log and from one snapshot of the ledger.
"""

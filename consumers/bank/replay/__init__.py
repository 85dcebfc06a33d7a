"""A second ledger, built from the log alone, and compared with the first.

The log is the topic of the records and that of the results: what was asked, and what
was told. The first ledger says only where its batches ended, so that the second one's
chain can be the same, hash by hash. What it says otherwise is not looked at until both
are compared.
"""

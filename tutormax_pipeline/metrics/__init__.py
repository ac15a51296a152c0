"""The figures of the queues and of the ledger, for Prometheus. Needs the extra ``metrics``."""

"""The loop, the budget ledger, checkpoints. Knows stages, never a route."""

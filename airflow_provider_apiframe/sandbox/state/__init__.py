"""What the sandbox remembers: jobs, accounts, credits, idempotency keys."""

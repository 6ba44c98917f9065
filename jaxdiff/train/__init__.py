"""Training: one pure step on one explicit state, and the loop, checkpoints and sharding around it."""

"""Published checkpoints to params. Nothing that is read from a file is ever executed."""

"""Readers of checkpoint files that trust nothing: no name in a file is imported, no code in it runs, sizes are bounded.

`torch_file` reads `.pt` and `.pth`, `flax_msgpack` Flax's msgpack, `safe_pickle` any pickle by a table of stand-ins
(`stand_ins`); `plain_values` says what a file may turn into, within which bounds, and has the one error,
`CheckpointFormatError`.

To add a format, write a reader that returns plain values and raises that error, and try it on the files of
`tests/support/hostile.py`.
"""

from jaxdiff.interop.formats import flax_msgpack, plain_values, safe_pickle, stand_ins, torch_file
from jaxdiff.interop.formats.plain_values import CheckpointFormatError

__all__ = ["CheckpointFormatError", "flax_msgpack", "plain_values", "safe_pickle", "stand_ins", "torch_file"]

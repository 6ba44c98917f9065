"""Benchmarks: figures, not tests. Each is a command that prints its table and, with --out, writes it as JSON.

`timing` times a call, `record` saves figures, `programs` compiles training steps. To add one, write a module with a
`Config` that has `out` and with `main`; its headline in `__main__` makes it part of `python -m benchmarks`. `gallery`
draws the pictures of docs/gallery.md, and makes that page.
"""

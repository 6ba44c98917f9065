"""The trilemma: quality, coverage and speed of all systems on the same data.

`families` says what is trained and sampled, `rows` how; `on_digits` and `on_points` measure on their data,
`measure` on any; `table` writes. To add a family, add a row to `families.FAMILIES`.
"""

"""NCSNv2's network (Song & Ermon 2020), and NCSN's (2019) as its option: `refinenet` on `blocks` and `refine_block`.

To add a variant, give `NCSNv2` an option whose default changes nothing, and a value in its row of
`tests/nets/options.py`.
"""

from jaxdiff.nets.ncsnv2.refinenet import NCSNv2

__all__ = ["NCSNv2"]

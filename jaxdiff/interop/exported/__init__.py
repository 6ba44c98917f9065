"""Parameters that leave a run: one file that holds arrays and a description, and what makes a denoiser of it again.

    from jaxdiff.interop import exported
    model = exported.load("params.safetensors")
    denoise = model.denoiser(labels)

`python -m experiments.export` writes such files of any run, `save` of any network here (`model`). A file is
safetensors or NumPy's .npz (`files`). Its description is JSON: the network by name with the values of its fields
(`networks.NETWORKS`), the parametrisation by name with its arguments (`preconds.PRECONDS`), the shape of an example,
the levels of its own sampler (`description`). Nothing in a file is executed: names are looked up in tables.

To add a network, put its row into `networks.NETWORKS`; a parametrisation, into `preconds.PRECONDS`.
"""

from jaxdiff.interop.exported import description, files, model, networks, preconds
from jaxdiff.interop.exported.description import Description
from jaxdiff.interop.exported.model import Exported, load, save

__all__ = ["Description", "Exported", "description", "files", "load", "model", "networks", "preconds", "save"]

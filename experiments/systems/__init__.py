"""Diffusion systems, one file a family: its network, its loss, its denoiser and how its paper samples it.

`network` has the type that every family is built on; `edm`, `ddpm`, `score_sde`, `consistency` and `ddgan` make a
`harness.system.System` of it. What can be chosen of a family is a table in its `..._choices`. `digits_unet` is the
network of the experiments on digits, `points` has all families on 25 Gaussians, `published` reads released models.

To add one, write `assemble(config, network) -> System`, and a command in `experiments/` with its Config.
"""

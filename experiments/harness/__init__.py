"""The machinery of a run: command lines, folders, data sets, training, drawing. It knows no diffusion system.

`system` has the types that all agree on. `experiment` checks, claims, trains, draws and evaluates what a command's
`EXPERIMENT` describes, by the flags of `training` (with `devices` and `monitoring`), in a folder that `claim`, `lock`
and `workdir` keep; `runs` reads it back. `generate` draws by seeds, in the form that `forms` has of images and points.

To add a data set, add its row to `datasets.DATASETS`; to add a sampler to `experiments.sample`, its row to
`samplers.SAMPLERS`. A new numeric flag says its range with its field: `depth: Annotated[int, Span(1)] = 3`.
"""

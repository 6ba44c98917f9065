"""Exported parameters: every network and parametrisation comes back from its description, and nothing else does."""

import inspect
import io
import json
import math
import sys
import zipfile

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict
from safetensors.numpy import load_file

from jaxdiff import precond, process
from jaxdiff.imports import MissingExtra
from jaxdiff.interop import exported
from jaxdiff.interop.exported import Description, files, networks, preconds
from jaxdiff.interop.exported.description import parse, write_out
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.nets.ddgan import DenseGenerator
from jaxdiff.nets.mlp import MLP
from tests.nets.options import ROWS

SUFFIXES = pytest.mark.parametrize("suffix", files.FORMATS)
GENERATOR = DenseGenerator(2, width=4, depth=1)
CHAIN = {"name": "vp", "num_steps": 4}
DESCRIPTION = Description({"name": "ddpm.x0", "betas": CHAIN}, (2,), "x0_sampler", latent_dim=3, sigmas=(2.0, 0.0))


def params():
    rng = np.random.default_rng(0)
    shapes = {"Dense_0": (21, 4), "Dense_1": (4, 2)}
    layer = lambda shape: {"kernel": rng.normal(size=shape), "bias": rng.normal(size=shape[-1:])}  # noqa: E731
    return jax.tree.map(np.float32, {"params": {name: layer(shape) for name, shape in shapes.items()}})


@pytest.fixture
def written():
    """A description as it lies in a file, and the shapes of its arrays."""
    flat = {"params.Dense_0.bias": (4,), "params.Dense_0.kernel": (21, 4), "params.Dense_1.bias": (2,)}
    flat["params.Dense_1.kernel"] = (4, 2)
    return write_out(GENERATOR, DESCRIPTION), {name: (shape, "float32") for name, shape in flat.items()}


@SUFFIXES
def test_what_is_saved_comes_back(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    described = exported.save(path, GENERATOR, params(), DESCRIPTION)
    model = exported.load(path)
    assert (model.module, model.description) == (GENERATOR, DESCRIPTION)
    jax.tree.map(np.testing.assert_array_equal, model.params, params())
    assert model.sigmas.tolist() == [2.0, 0.0]
    x, t, latent = jnp.ones((5, 2)), jnp.full(5, 3.0), jnp.ones((5, 3))
    sigma = process.betas.sigmas(process.betas.vp(4))[0]
    seen = x / jnp.sqrt(1 + jnp.float32(sigma) ** 2)
    expected = GENERATOR.apply(params(), seen, t, latent)
    np.testing.assert_allclose(model.x0_sampler()(x, jnp.float32(sigma), latent), expected, rtol=1e-6)
    assert files.header(path)[1] == json.loads(json.dumps(described))
    assert oct(path.stat().st_mode) == oct((tmp_path / "other").touch() or (tmp_path / "other").stat().st_mode)
    with pytest.raises(FileExistsError, match="is there already"):
        exported.save(path, GENERATOR, params(), DESCRIPTION)
    exported.save(path, GENERATOR, params(), DESCRIPTION, overwrite=True)
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, "other"}


@SUFFIXES
def test_arrays_are_those_that_flax_names_with_dots(tmp_path, suffix):
    """So that a file serves without this module too."""
    exported.save(tmp_path / f"a{suffix}", GENERATOR, params(), DESCRIPTION)
    if suffix == ".npz":
        with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name != "jaxdiff"}
    else:
        arrays = load_file(tmp_path / "a.safetensors")
    jax.tree.map(np.testing.assert_array_equal, unflatten_dict(arrays, sep="."), params())


def walked():
    """Every network of the table with each of its options."""
    for net, _, _, changes in ROWS:
        if type(net).__name__ in networks.NETWORKS:
            yield net
            for option, change in changes.items():
                before, value = change if isinstance(change, tuple) and isinstance(change[0], dict) else ({}, change)
                yield net.clone(**before, **{option: value})


def test_every_network_comes_back_with_every_option():
    seen = set()
    for net in walked():
        described = json.loads(json.dumps(networks.describe_network(net)))
        found, _ = networks.network(described, 1_000)
        without_remat = net.clone(remat=False) if hasattr(net, "remat") else net
        assert networks.describe_network(found) == described
        for field in set(described["options"]):
            ours, theirs = getattr(without_remat, field), getattr(found, field)
            assert ours == theirs or list(ours) == list(theirs), field
        seen.add(type(net).__name__)
    assert seen == set(networks.NETWORKS)


def test_only_networks_of_the_table_leave():
    with pytest.raises(ValueError, match=r"^MLP is none of the networks that can be exported: SongUNet, "):
        networks.describe_network(MLP(2))
    with pytest.raises(ValueError, match=r"^DenseGenerator.activation is <.*>, which has no name in NAMED"):
        networks.describe_network(DenseGenerator(2, activation=lambda x: x))


EXAMPLES = {
    "ddpm.eps": ({"betas": {"name": "cosine", "num_steps": 30}}, precond.ddpm.eps(process.betas.cosine(30))),
    "ddpm.x0": ({"betas": {"name": "linear", "num_steps": 30}}, precond.ddpm.x0(process.betas.linear(30))),
    "ddpm.v": ({"betas": {"name": "quadratic", "num_steps": 30}}, precond.ddpm.v(process.betas.quadratic(30))),
    "ddpm.mu": ({"betas": CHAIN, "scale": 2}, precond.ddpm.mu(process.betas.vp(4), 2)),
    "score_sde.eps": ({"sde": {"name": "subvp"}}, precond.score_sde.eps(process.sde.subvp())),
    "edm": ({"sigma_data": 0.3}, precond.edm(0.3)),
    "vp": ({"beta_d": 10.0}, precond.vp(10.0)),
    "ve": ({"sigma_max": 10.0}, precond.ve(sigma_max=10.0)),
    "iddpm": ({"num_levels": 50}, precond.iddpm(50)),
    "vdm": ({"gamma_max": 4.0}, precond.vdm(gamma_max=4.0)),
    "consistency": ({"sigma_data": 0.3}, precond.consistency(0.3)),
    "trigflow": ({}, precond.trigflow()),
}


@pytest.mark.parametrize("name", preconds.PRECONDS)
def test_every_parametrisation_comes_back(name):
    arguments, expected = EXAMPLES[name]
    found = preconds.preconditioning(json.loads(json.dumps({"name": name, **arguments})))
    low, high = max(expected.sigma_min, 1e-2), min(expected.sigma_max, 1e2)
    sigma = jnp.geomspace(low, high, 20)
    assert (found.sigma_min, found.sigma_max) == (expected.sigma_min, expected.sigma_max)
    for coefficient in ("c_skip", "c_out", "c_in", "c_noise", "round_sigma"):
        np.testing.assert_array_equal(getattr(found, coefficient)(sigma), getattr(expected, coefficient)(sigma))


def test_tables_hold_functions_of_numbers_only():
    for table in (preconds.PRECONDS, preconds.BETAS, preconds.SDES):
        for name, make in table.items():
            for parameter in inspect.signature(make).parameters.values():
                number = parameter.annotation in (int, float, "int", "float")
                assert number or parameter.name in preconds.NESTED, f"{name} {parameter.name}"


def without(described, name):
    return {key: value for key, value in described.items() if key != name}


UNET = {
    "network": {
        "name": "SongUNet",
        "options": {"img_resolution": 4, "in_channels": 1, "out_channels": 1, "label_dim": 2, "channel_mult": []},
    },
    "num_classes": 3,
}
ODD = {
    "text": (lambda d: "x", "it has no description by jaxdiff"),
    "another's": (lambda d: {**d, "format": "pt"}, "it has no description by jaxdiff"),
    "version": (lambda d: {**d, "version": 2}, "its version is 2, known is 1"),
    "missing": (lambda d: without(d, "clip"), "its description lacks clip"),
    "unknown": (lambda d: {**d, "eval": "1"}, "unknown entry eval"),
    "shape": (lambda d: {**d, "shape": [1 << 40]}, "shape must be one to three positive numbers"),
    "kind": (lambda d: {**d, "kind": "os.system"}, "kind must be denoiser or consistency or x0_sampler"),
    "network": (lambda d: {**d, "network": {"name": "os.system", "options": {}}}, "network is 'os.system'; there are"),
    "no network": (lambda d: {**d, "network": "MLP"}, "network must be an object with name and options"),
    "name": (lambda d: {**d, "network": {"name": [], "options": {}}}, r"network is .*; there are SongUNet"),
    "option": (lambda d: options(d, run=1), "network DenseGenerator has no option run"),
    "parent": (lambda d: options(d, parent=1), "network DenseGenerator has no option parent"),
    "value": (lambda d: options(d, width={"a": 1}), "network DenseGenerator: width is .*, which is no plain value"),
    "function": (lambda d: options(d, activation="eval"), "activation is 'eval'; there are silu"),
    "deep": (lambda d: options(d, depth=10**9), "depth is 1000000000 for 4 arrays"),
    "wide": (lambda d: options(d, width=10**9), r"params.Dense_0.* is float32\[.*in the network"),
    "no field": (
        lambda d: {**d, "network": {"name": "DenseGenerator", "options": {}}},
        "network DenseGenerator: .*featu",
    ),
    "nonsense": (lambda d: options(d, width="wide"), "network DenseGenerator cannot be built: "),
    "precond": (lambda d: {**d, "precond": {"name": "eval"}}, "precond is 'eval'; there are edm"),
    "argument": (lambda d: {**d, "precond": {"name": "edm", "code": 1}}, "precond edm has no argument code"),
    "range": (
        lambda d: {**d, "precond": {"name": "edm", "sigma_data": -1}},
        "precond edm: sigma_data must be positive",
    ),
    "nested": (lambda d: {**d, "precond": {"name": "ddpm.x0", "betas": [1]}}, "betas must be an object with a name"),
    "long": (lambda d: chain(d, num_steps=10**12), "betas vp: num_steps must be a number up to 1000000"),
    "nan": (lambda d: chain(d, beta_min=math.nan), "betas vp: beta_min must be a number"),
    "classes": (lambda d: {**d, **UNET}, "num_classes is 3, but the network has label_dim=2"),
    "no chain": (lambda d: {**d, "precond": {"name": "edm"}}, "precond edm has no betas, which an x0_sampler needs"),
    "infinite": (lambda d: {**d, "sigmas": [10**400, 0]}, "sigmas must be numbers"),
    "lacks": (lambda d: {**d, "precond": {"name": "ddpm.x0"}}, "precond ddpm.x0 lacks betas"),
}


def options(described, **changes):
    return {
        **described,
        "network": {"name": "DenseGenerator", "options": {**described["network"]["options"], **changes}},
    }


def chain(described, **changes):
    return {**described, "precond": {"name": "ddpm.x0", "betas": {**CHAIN, **changes}}}


@pytest.mark.parametrize("change", ODD)
def test_what_is_unknown_is_refused_in_one_line(written, change):
    (described, header), (make, message) = written, ODD[change]
    with pytest.raises(CheckpointFormatError, match=message) as error:
        parse(make(described), header)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"params.Dense_1.bias": ((3,), "float32")},
            r"bias is float32\[3\] in the file and float32\[2\] in the network",
        ),
        (
            {"params.Dense_1.bias": ((2,), "float64")},
            r"bias is float64\[2\] in the file and float32\[2\] in the network",
        ),
        (
            {"params.Dense_2.bias": ((2,), "float32")},
            r"Dense_2.bias is float32\[2\] in the file and absent in the network",
        ),
        ({"params.Dense_1.bias": None}, r"Dense_1.bias is absent in the file and float32\[2\] in the network"),
    ],
)
def test_arrays_must_be_the_network_s(written, changes, message):
    described, header = written
    with pytest.raises(CheckpointFormatError, match=message):
        parse(described, {name: found for name, found in {**header, **changes}.items() if found})


@SUFFIXES
def test_files_that_are_none(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(FileNotFoundError):
        exported.load(path)
    for content in (b"", b"nothing of the kind", b"PK\x03\x04" + bytes(50), (2**62).to_bytes(8, "little") + b"{}"):
        path.write_bytes(content)
        with pytest.raises(CheckpointFormatError, match=f"^a{suffix} is no {suffix} file of arrays ") as error:
            exported.load(path)
        assert len(str(error.value).splitlines()) == 1
    files.FORMATS[suffix].write(path, {"w": np.ones(2, np.float32)}, "{")
    with pytest.raises(CheckpointFormatError, match=rf"^a{suffix}: its description is no JSON"):
        exported.load(path)
    files.write(path, {"w": np.ones(2, np.float32)}, {}, overwrite=True)
    with pytest.raises(CheckpointFormatError, match=rf"^a{suffix}: it has no description by jaxdiff"):
        exported.load(path)
    with pytest.raises(ValueError, match=r"^path must end in .safetensors or .npz, got .*a.pt$"):
        exported.load(tmp_path / "a.pt")


def test_python_objects_are_never_read(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file:
        np.savez(file, w=np.array([print], dtype=object))
    with pytest.raises(CheckpointFormatError, match=r"w.npy holds Python objects"):
        exported.load(tmp_path / "a.npz")


def zipped(path, member, header, data=b""):
    """An .npz with one array whose header says what it likes."""
    start = io.BytesIO()
    np.lib.format.write_array_header_1_0(start, {"fortran_order": False, **header})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{member}.npy", start.getvalue() + data)


@pytest.mark.parametrize(
    ("member", "header", "message"),
    [
        ("w", {"descr": "<f4", "shape": (10**12,)}, "the file asks for 4000000000000 bytes more than a file of its"),
        ("jaxdiff", {"descr": "<U10", "shape": (10**9,)}, "the file asks for 40000000000 bytes more than a file of"),
        ("w", {"descr": "<f4", "shape": (-1,)}, r"w.npy has shape \(-1,\)"),
    ],
)
def test_nothing_is_allocated_that_cannot_be_in_the_file(tmp_path, member, header, message):
    zipped(tmp_path / "a.npz", member, header)
    for read in (exported.load, files.read):
        with pytest.raises(CheckpointFormatError, match=rf"^a.npz is no .npz file of arrays \({message}"):
            read(tmp_path / "a.npz")


def test_what_expands_when_it_is_unpacked_is_not_unpacked(tmp_path):
    zipped(tmp_path / "a.npz", "w", {"descr": "<f4", "shape": (1 << 22,)}, bytes(4 << 22))
    assert (tmp_path / "a.npz").stat().st_size < 1 << 16
    with pytest.raises(CheckpointFormatError, match="more than a file of its size can hold"):
        files.read(tmp_path / "a.npz")


def test_compressed_parameters_are_read(tmp_path):
    w = np.random.default_rng(0).normal(size=(300, 300)).astype(np.float32)
    with (tmp_path / "a.npz").open("wb") as file:
        np.savez_compressed(file, w=w)
    np.testing.assert_array_equal(files.read(tmp_path / "a.npz")["w"], w)


@SUFFIXES
@pytest.mark.parametrize("text", ["1" * 10_000, "[" * 100_000], ids=["long", "deep"])
def test_json_that_no_reader_takes_is_one_line(tmp_path, suffix, text):
    path = tmp_path / f"a{suffix}"
    files.FORMATS[suffix].write(path, {"w": np.ones(2, np.float32)}, text)
    with pytest.raises(CheckpointFormatError, match=rf"^a{suffix}: its description is no JSON \(.*\)$"):
        exported.load(path)


@SUFFIXES
def test_a_name_cannot_break_the_line(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    files.write(path, {"w\n\x1b[31m": np.ones(2, np.float32)}, {})
    with pytest.raises(CheckpointFormatError, match=rf"^a{suffix}: 'w\\n\\x1b\[31m' is no name of an array$"):
        exported.load(path)


def test_a_network_says_what_it_is():
    """A generator is no denoiser; labels are of the network's classes."""
    model = exported.Exported(GENERATOR, params(), precond.edm(), DESCRIPTION)
    for ask in (model.denoiser, model.consistency_fn):
        with pytest.raises(ValueError, match=r"^this network is a x0_sampler: ask for x0_sampler\(\)$"):
            ask()
    plain = model._replace(description=Description({"name": "edm"}, (2,)))
    with pytest.raises(ValueError, match="labels were given, but this network has no classes"):
        plain.denoiser(np.zeros(2, int))
    classes = model._replace(module=nn.Dense(2), description=Description({"name": "edm"}, (2,), num_classes=3))
    for labels in ([3], [-1], [0.5]):
        with pytest.raises(ValueError, match="labels must be 0 to 2, the classes of this network"):
            classes.denoiser(np.asarray(labels))


def test_without_safetensors_its_extra_is_named_and_npz_works(tmp_path, monkeypatch):
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"needs safetensors: pip install 'jaxdiff\[interop\]'$"):
        exported.save(tmp_path / "a.safetensors", GENERATOR, params(), DESCRIPTION)
    (tmp_path / "b.safetensors").touch()
    with pytest.raises(MissingExtra, match=r"needs safetensors: pip install 'jaxdiff\[interop\]'$"):
        exported.load(tmp_path / "b.safetensors")
    exported.save(tmp_path / "a.npz", GENERATOR, params(), DESCRIPTION)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.safetensors"]

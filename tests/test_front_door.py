"""`import jaxdiff` gives every room, costs next to nothing, and says in one line which extra a room needs."""

import ast
import importlib
import json
import sys

import pytest

import experiments
import jaxdiff as jd
from tests.support import packages
from tests.support.commands import ROOT, python, refused

ROOMS = sorted(
    path.name.removesuffix(".py")
    for path in (ROOT / "jaxdiff").iterdir()
    if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem not in ("__init__", "imports")
)
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "jaxdiff").rglob("*.py")
)
FACES = sorted((ROOT / "jaxdiff").rglob("__init__.py"))
HEAVY = (
    "flax", "optax", "orbax", "chex", "sklearn", "tensorflow_datasets", "matplotlib", "diffrax", "equinox", "grain",
    "PIL", "msgpack", "safetensors", "tqdm",
)  # fmt: skip


@pytest.mark.parametrize("name", jd.__all__)
def test_every_name_is_there(name):
    value = getattr(jd, name)
    home = f"jaxdiff.{jd.VERBS[name]}" if name in jd.VERBS else "jaxdiff"
    assert value is (importlib.import_module(f"jaxdiff.{name}") if name in ROOMS else getattr(sys.modules[home], name))
    assert name in dir(jd)


def test_every_room_and_a_dozen_verbs_are_given():
    assert sorted([*ROOMS, *jd.VERBS]) == jd.__all__
    assert len(jd.VERBS) == 12


def test_a_wrong_name_is_an_ordinary_error():
    with pytest.raises(AttributeError, match=r"^module 'jaxdiff' has no attribute 'smaple'") as error:
        getattr(jd, "smaple")  # noqa: B009
    assert error.value.name == "smaple"
    assert error.value.obj is jd
    with pytest.raises(ImportError, match="cannot import name 'smaple' from 'jaxdiff'"):
        from jaxdiff import smaple  # noqa: F401
    assert not hasattr(jd.samplers, "nothing")


def loaded(code):
    """Packages of HEAVY that a fresh interpreter has after the code, which prints nothing else."""
    done = python("-c", f"import sys\n{code}\nprint([name for name in {HEAVY} if name in sys.modules])")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import jaxdiff; assert 'jax' not in sys.modules; dir(jaxdiff)",
        "import jax, jaxdiff as jd; from jaxdiff.samplers import heun, sample\n"
        "grid = jd.grids.karras(4); precond = jd.precond.edm()\n"
        "denoise = jd.denoiser(lambda params, x, c_noise: x, {}, precond)\n"
        "assert jd.sample(jd.samplers.heun(), jd.clip(denoise), jax.numpy.ones((2, 3)), grid).shape == (2, 3)\n"
        "jd.process.sde.vp(), jd.losses.denoising_loss, jd.timesteps, jd.editing, jd.gaussian_mixture, jd.augment",
    ],
    ids=["import", "sample"],
)
def test_samplers_import_little(code):
    assert loaded(code) == "[]"


def test_rooms_give_lazily_what_needs_more():
    assert "adaptive" in dir(jd.samplers)
    assert jd.samplers.adaptive is importlib.import_module("jaxdiff.samplers.adaptive_ode").adaptive
    assert "gamma" in dir(jd.process)
    assert jd.process.gamma is importlib.import_module("jaxdiff.process.gamma")


@pytest.mark.full
def test_type_checkers_know_names_and_types(tmp_path):
    """As a user's strict mypy sees them; the names of parameters are of the functions themselves."""
    (tmp_path / "program.py").write_text(
        "import jaxdiff as jd\nreveal_type(jd.sample)\nreveal_type(jd.grids.karras)\n"
        "reveal_type(jd.samplers.adaptive)\nreveal_type(jd.Sampler)\njd.smaple\n"
    )
    flags = ("--no-implicit-reexport", "--follow-imports=silent", "--cache-dir", tmp_path / "cache")
    done = python("-m", "mypy", *flags, tmp_path / "program.py")
    lines = done.stdout.splitlines()
    for line, part in zip(
        lines, ("(sampler: ", "(num_steps: int, ", "(sde: ", "(init: ", "no attribute"), strict=False
    ):
        assert part in line, line
    assert len(lines) == 6, done.stdout


HIDE = f"""
import builtins, importlib, json
real, hidden = builtins.__import__, {sorted(packages.OPTIONAL)}

def hide(name, scope=None, *rest):  # from jaxdiff only: flax itself needs msgpack
    if name.split(".")[0] in hidden and (scope or {{}}).get("__name__", "").startswith("jaxdiff"):
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    return real(name, scope, *rest)

builtins.__import__ = hide
"""


def test_every_module_imports_without_extras_or_names_one():
    """With the core's packages only; each extra that is named installs what is missing."""
    walk = f"""{HIDE}
from jaxdiff.imports import MissingExtra
found = {{}}
for name in {MODULES}:
    try:
        importlib.import_module(name)
    except MissingExtra as error:
        found[name] = str(error)
try:
    from jaxdiff.samplers import adaptive
except ImportError as error:
    found["jaxdiff.adaptive"] = str(error)
print(json.dumps(found))
"""
    done = python("-c", walk)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name, message in found.items():
        by, package, extra = packages.MESSAGE.fullmatch(message).groups()
        assert by in MODULES, f"{name}: {message}"
        assert packages.normal(package) in packages.EXTRAS[extra], f"{name}: {message}"
    assert found["jaxdiff.adaptive"] == "jaxdiff.probability_flow needs diffrax: pip install 'jaxdiff[flow]'"
    whole = {"augment", "editing", "grids", "losses", "nets", "precond", "process", "samplers", "timesteps", "train"}
    assert [n for n in found if n.split(".")[1] in whole] == ["jaxdiff.samplers.adaptive_ode"]


@pytest.mark.parametrize("module", MODULES)
def test_what_is_imported_is_declared(module):
    """In the core's dependencies, or in the extra that `with needs(...)` names; in lazy imports too."""
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    imported, extras = packages.imported(path)
    allowed = packages.CORE.union(*(packages.EXTRAS[extra] for extra in extras))
    for package in imported:
        assert packages.distributions(package) & allowed, f"{module} imports {package}, which no extra it needs has"


@pytest.mark.parametrize("folder", ["experiments", "benchmarks"])
def test_what_commands_import_is_in_their_extra(folder):
    allowed = packages.CORE | packages.EXTRAS["experiments"]
    for path in (ROOT / folder).rglob("*.py"):
        for package in packages.imported(path)[0] - {"experiments", "benchmarks"}:
            assert packages.distributions(package) & allowed, f"{path} imports {package}"


def test_commands_ask_for_all_of_their_extra():
    """Before anything is imported; importlib_resources and lineax are of tensorflow-datasets and diffrax."""
    asked = set().union(*map(packages.distributions, experiments.PACKAGES))
    assert asked >= packages.EXTRAS["experiments"] - {"importlib-resources", "lineax"}


def test_a_command_without_its_extra_says_so_in_one_line(tmp_path):
    """`python -m` as a person runs it: sitecustomize hides one package before anything else is imported."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['tyro'] = None")
    done = python("-m", "experiments.edm_digits", "--help", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == "experiments: error: experiments needs tyro: pip install 'jaxdiff[experiments]'\n"
    done = python("-c", "import experiments", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_flag_without_its_extra_is_refused_in_one_line(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    error = refused("edm_digits", ["--tensorboard", "--workdir", tmp_path / "run"], monkeypatch, capfd)
    assert error.endswith("needs tensorboardX: pip install 'jaxdiff[tensorboard]'")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", FACES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_faces_say_what_they_hold(path):
    tree = ast.parse(path.read_text())
    paragraph = len((ast.get_docstring(tree) or "").splitlines()) > 1
    lists = any(isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__" for n in tree.body)
    assert paragraph, "it lacks a paragraph that says what the room holds and how to add to it"
    assert lists, "it lacks __all__"


@pytest.mark.parametrize("path", FACES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_faces_give_what_they_list(path):
    face = importlib.import_module(".".join(path.parent.relative_to(ROOT).parts))
    assert len(set(face.__all__)) == len(face.__all__)
    for name in face.__all__:
        getattr(face, name)
        assert name in dir(face)


@pytest.mark.parametrize("path", FACES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_what_type_checkers_see_is_what_is_given(path):
    """What a face imports, under TYPE_CHECKING too, by which editors and mypy know its names and their types."""
    face = importlib.import_module(".".join(path.parent.relative_to(ROOT).parts))
    seen, late = {}, set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            late |= {alias.name for n in node.body for alias in n.names if n.module != face.__name__}
        if isinstance(node, ast.ImportFrom) and node.module.startswith("jaxdiff") and node.module != "jaxdiff.imports":
            seen |= {alias.name: node.module for alias in node.names}
    assert set(seen) - set(face.__all__) == set()
    defined = {name for name in face.__all__ if name not in seen}
    assert all(name in vars(face) for name in defined), f"type checkers do not see {defined}"
    for name in seen:
        home = importlib.import_module(seen[name])
        assert getattr(face, name) is getattr(home, name)
    modules = {file.name.removesuffix(".py") for file in path.parent.iterdir()}
    assert not late & modules, "an import of the module would take the name's place"

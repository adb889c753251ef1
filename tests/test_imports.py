"""The one direction in which the modules import each other, and what `import rpojax` brings."""

import ast
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

import rpojax

PACKAGE = Path(rpojax.__file__).parent

# From the bottom up; a package imports from rows before its own.
LAYERS = (
    ("version", "validation", "types", "files"),
    ("statistics", "trees", "presets"),
    ("settings", "ops", "rounding"),
    ("devices", "compat"),
    ("envs",),
    ("networks",),
    ("core",),
    ("programs",),
    ("agent", "loggers"),
    ("runs",),
    ("report",),
    ("studies",),
    ("cli",),
)
LAYER_OF = {name: layer for layer, names in enumerate(LAYERS) for name in names}
PUBLIC_PACKAGES = (
    rpojax,
    rpojax.envs,
    rpojax.networks,
    rpojax.loggers,
    rpojax.compat,
    rpojax.report,
    rpojax.statistics,
    rpojax.studies,
)
PURE_MATHS = ("distribution", "advantage", "losses")


def files():
    """Each unit, a module or package directly below `rpojax`, with its files."""
    units = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        unit = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if unit not in ("__init__", "__main__"):
            units.setdefault(unit, []).append(path)
    return units


def imported(path):
    """Dotted names of all modules that a file imports, wherever in the file."""
    return imported_by(ast.walk(ast.parse(path.read_text())))


def imported_by(nodes):
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import; write it in full"
            if node.module == "rpojax":
                names |= {f"rpojax.{alias.name}" for alias in node.names}
            else:
                names.add(node.module)
    return names


def executed(path):
    """Those of `imported` that running the module imports: without those for type checkers."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    return imported_by(node for node in ast.walk(tree) if id(node) not in typing_only)


def units_used(paths):
    dotted = {name for path in paths for name in imported(path)}
    return {name.split(".")[1] for name in dotted if name.startswith("rpojax.")}


def test_every_module_has_its_place():
    assert set(files()) == set(LAYER_OF), "give each module and package a row in LAYERS"


@pytest.mark.parametrize("unit", sorted(files()))
def test_module_imports_only_from_layers_before_its_own(unit):
    used = units_used(files()[unit]) - {unit}
    assert used <= set(LAYER_OF), "import from the module that defines a name, not from the package"
    later = {other for other in used if LAYER_OF[other] >= LAYER_OF[unit]}
    assert not later, f"{unit} imports {later} of the same or of a later layer"


@pytest.mark.parametrize("package", sorted({path.parent for path in PACKAGE.rglob("*.py")}))
def test_modules_of_a_package_import_each_other_in_no_circle(package):
    paths = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in package.glob("*.py")
        if path.name != "__init__.py"
    }
    graph = {name: executed(path) & set(paths) for name, path in paths.items()}
    while graph:
        free = [name for name, used in graph.items() if not used & set(graph)]
        assert free, f"a circle among {sorted(graph)}"
        for name in free:
            del graph[name]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=str)
def test_package_files_only_re_export(path):
    kinds = {type(node) for node in ast.parse(path.read_text()).body}
    assert kinds <= {ast.Expr, ast.ImportFrom, ast.Assign}


def test_no_public_name_is_also_a_module():
    modules = {path.stem for path in PACKAGE.rglob("*.py")} | {
        path.name for path in PACKAGE.rglob("*") if path.is_dir()
    }
    for package in PUBLIC_PACKAGES:
        names = set(package.__all__)
        submodules = {
            name for name in names if isinstance(getattr(package, name), types.ModuleType)
        }
        assert not (names - submodules) & modules, package.__name__


@pytest.mark.parametrize("module", PURE_MATHS)
def test_pure_maths_knows_nothing_of_the_package(module):
    assert not units_used([PACKAGE / "core" / f"{module}.py"])


def test_whole_package_is_not_imported_from_inside():
    for paths in files().values():
        for path in paths:
            assert "rpojax" not in imported(path), path.name


PICTURES = """
import numpy
rpojax.plot_learning_curves(rpojax.Config(), rpojax.Metrics.filled(numpy.zeros((2, 3))))
labels = dict.fromkeys(["xlabel", "ylabel", "score_label"], "")
rpojax.report.plot_heatmap([1, 2], [1], numpy.zeros((1, 2)), num_seeds=1, **labels)
"""


def test_import_brings_none_of_the_slow_packages_and_pictures_leave_pyplot_alone():
    """rich comes with flax itself; all else that jax, flax and optax do not import must wait."""
    show = "print(json.dumps(sorted(sys.modules)))"
    statements = ("import json, sys, jax, flax.linen, optax, chex", "import rpojax", PICTURES)
    program = "\n".join(f"{statement}\n{show}" for statement in statements)
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    *imported, drawn = (set(json.loads(line)) for line in run.stdout.splitlines())
    assert "matplotlib.figure" in drawn
    assert "matplotlib.pyplot" not in drawn
    base, after = ({name.split(".")[0] for name in names} for names in imported)
    added = after - base
    slow = {"gymnax", "gymnasium", "matplotlib", "orbax", "tyro", "rich", "pandas", "seaborn"}
    assert not added & slow
    assert not added & {"scipy", "tensorflow", "torch", "brax", "mujoco"}
    assert added - set(sys.stdlib_module_names) == {"rpojax"}

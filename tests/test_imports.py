"""The one direction in which the modules import each other, and what `import rpojax` brings."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import rpojax

PACKAGE = Path(rpojax.__file__).parent

# From the top down; a module imports from its own row or from rows above it.
ROWS = (
    ("validation", "types"),
    ("trees", "migration", "network_config"),
    ("config",),
    ("gaussian", "advantage", "losses", "normalize", "optimizer"),
    ("envs", "networks"),
    ("rollout", "minibatch", "batch"),
    ("update", "train"),
    ("policy", "evaluate", "checkpoint", "loggers", "parallel"),
    ("export", "rendering"),
    ("presets", "plotting", "fit", "study", "display"),
    ("cli",),
)
ROW_OF = {module: row for row, modules in enumerate(ROWS) for module in modules}
PURE_MATHS = ("gaussian", "advantage", "losses")


def files():
    """Each room of the package with its files; a folder is one room."""
    rooms = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room not in ("__init__", "__main__"):
            rooms.setdefault(room, []).append(path)
    return rooms


def imported(path):
    """Dotted names of all modules that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import; write it in full"
            if node.module == "rpojax":
                names |= {f"rpojax.{alias.name}" for alias in node.names}
            else:
                names.add(node.module)
    return names


def rooms_used(paths):
    dotted = {name for path in paths for name in imported(path)}
    return {name.split(".")[1] for name in dotted if name.startswith("rpojax.")}


def test_every_module_has_its_place():
    assert set(files()) <= set(ROW_OF), "give new modules a row in ROWS"


@pytest.mark.parametrize("room", sorted(files()))
def test_module_imports_only_from_its_own_row_and_above(room):
    used = rooms_used(files()[room]) - {room, "__version__"}
    assert used <= set(ROW_OF), "import from the module that defines a name, not from the package"
    below = {other for other in used if ROW_OF[other] > ROW_OF.get(room, -1)}
    assert not below, f"{room} imports {below} from below"


def test_modules_import_each_other_in_no_circle():
    graph = {room: rooms_used(paths) - {room} for room, paths in files().items()}
    while graph:
        free = [room for room, used in graph.items() if not used & set(graph)]
        assert free, f"a circle among {sorted(graph)}"
        for room in free:
            del graph[room]


@pytest.mark.parametrize("module", PURE_MATHS)
def test_pure_maths_knows_nothing_of_the_package(module):
    assert not rooms_used([PACKAGE / f"{module}.py"])


def test_whole_package_is_not_imported_from_inside():
    for paths in files().values():
        for path in paths:
            assert "rpojax" not in imported(path), path.name


def modules_after(statement):
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    return {name.split(".")[0] for name in json.loads(run.stdout)}


def test_import_brings_none_of_the_slow_packages():
    """rich comes with flax itself; all else that jax, flax and optax do not import must wait."""
    base = modules_after("import jax, flax.linen, optax, chex")
    added = modules_after("import rpojax") - base
    slow = {"gymnax", "gymnasium", "matplotlib", "orbax", "tyro", "rich", "pandas", "seaborn"}
    assert not added & slow
    assert not added & {"scipy", "tensorflow", "torch", "brax", "mujoco"}
    assert added - set(sys.stdlib_module_names) == {"rpojax"}

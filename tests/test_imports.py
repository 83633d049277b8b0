"""The rules of direction: who may import whom."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lors_det"
FRAMEWORK = {"mmcv", "mmdet", "mmengine"}
MAY_IMPORT = {  # parts of the package that each part may use, beside itself
    "ops": set(),
    "lors": set(),
    "adamixer": {"ops", "lors"},
    "data": {"errors", "files"},
    "plugin": {"adamixer", "lors", "data", "errors", "files", "named_files", "state_diff"},
    "checkpoints": {"plugin", "adamixer", "errors", "files", "state_diff"},
    "reports": {"plugin", "adamixer", "data", "lors", "errors", "files", "named_files"},
    "inference": {"adamixer", "checkpoints", "data", "plugin", "errors", "files", "state_diff"},
    "training": {"checkpoints", "plugin", "processes", "reports", "data", "errors", "files"},
    "studies": {"adamixer", "checkpoints", "plugin", "reports", "training", "data", "errors", "files", "state_diff"},
    "cli": {
        "checkpoints",
        "inference",
        "reports",
        "studies",
        "training",
        "plugin",
        "data",
        "errors",
        "files",
        "named_files",
        "processes",
        "signals",
    },
}
PLAIN = ("stage", "attention", "points", "mixing", "queries", "geometry")
"""Modules of ``adamixer`` that a stage is made of."""


def imports(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_direction(part):
    files = list((PACKAGE / part).rglob("*.py"))
    assert files
    for path in files:
        for name in imports(path):
            package, _, rest = name.partition(".")
            if package == "lors_det":
                assert rest.split(".")[0] in MAY_IMPORT[part] | {part, "__version__", ""}, f"{path} imports {name}"
            if part in ("ops", "lors", "adamixer", "data"):
                assert package not in FRAMEWORK, f"{path} imports {name}"


def test_a_stage_knows_nothing_of_sharing():
    """Nor does what it is made of, not even through what that imports, the package itself aside: AdaMixer is plain."""
    core = PACKAGE / "adamixer"
    waiting, seen = [core / f"{name}.py" for name in PLAIN], set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        names = {name for name in imports(path) if name.startswith("lors_det.")}
        assert not {name for name in names if name.split(".")[1] == "lors"}, path
        found = {core / f"{name.split('.')[2]}.py" for name in names if name.startswith("lors_det.adamixer.")}
        assert all(file.is_file() for file in found), f"{path} imports from the package, which imports the decoder"
        waiting.extend(found - seen)
    assert {path.stem for path in seen} == set(PLAIN)


def test_of_adamixer_only_the_decoder_and_what_describes_it_know_lors():
    knowing = {
        path.stem
        for path in (PACKAGE / "adamixer").glob("*.py")
        if any(name.startswith("lors_det.lors") for name in imports(path))
    }
    assert knowing == {"decoder", "sharing", "spec"}


@pytest.mark.parametrize("name", PLAIN)
def test_a_stage_has_no_word_of_bases_and_residuals(name):
    """But for the residual connections of a transformer, which have nothing to do with it."""
    tree = ast.parse((PACKAGE / f"adamixer/{name}.py").read_text(encoding="utf-8"))
    words = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg | ast.keyword) and node.arg}
    words |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    words |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    forbidden = re.compile(r"base|residual|lors|rank|share|fold", re.IGNORECASE)
    assert {word for word in words if forbidden.search(word)} == set()


def test_the_parts_are_all_listed():
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(MAY_IMPORT)


def test_of_the_modules_beside_the_parts_only_the_registries_know_the_framework():
    for path in PACKAGE.glob("*.py"):
        found = {name.partition(".")[0] for name in imports(path)} & FRAMEWORK
        assert not found or path.name == "registry.py", f"{path} imports {found}"


def test_what_the_package_imports_is_declared():
    """Of the extras, by choice: the framework, and OpenCV, which comes with it; torch brings Triton.

    Libraries of other extras are imported where they are needed, and their absence is explained.
    """
    block = re.search(r"^dependencies = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    declared = set(re.findall(r'^ +"([A-Za-z]+)', block[1], re.MULTILINE))
    declared = {{"Pillow": "PIL", "PyYAML": "yaml"}.get(name, name) for name in declared}
    given = declared | FRAMEWORK | {"cv2", "triton", "lors_det"} | sys.stdlib_module_names
    extras = {"timm", "safetensors", "supervision"}
    given |= extras
    used = {name.partition(".")[0]: path for path in PACKAGE.rglob("*.py") for name in imports(path)}
    assert "torch" in declared
    assert {name: path for name, path in used.items() if name not in given} == {}


def test_importing_the_package_loads_nothing():
    code = "import sys, lors_det; print({name.split('.')[0] for name in sys.modules} & {'torch', 'mmcv', 'mmdet'})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"

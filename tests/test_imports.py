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
    "benchmark": {"ops", "lors", "adamixer"},
    "data": {"errors"},
    "plugin": {"adamixer", "lors", "errors", "files"},
    "cli": {"plugin", "benchmark", "data", "errors", "files"},
}


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
            if part not in ("plugin", "cli"):
                assert package not in FRAMEWORK, f"{path} imports {name}"


def test_the_parts_are_all_listed():
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(MAY_IMPORT)


def test_of_the_modules_beside_the_parts_only_the_registries_know_the_framework():
    for path in PACKAGE.glob("*.py"):
        found = {name.partition(".")[0] for name in imports(path)} & FRAMEWORK
        assert not found or path.name == "registry.py", f"{path} imports {found}"


def test_what_the_package_imports_is_declared():
    """Of the extras, by choice: the framework, and OpenCV, which comes with it; torch brings Triton."""
    block = re.search(r"^dependencies = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    declared = set(re.findall(r'^ +"([A-Za-z]+)', block[1], re.MULTILINE))
    given = declared | FRAMEWORK | {"cv2", "triton", "lors_det"} | sys.stdlib_module_names
    used = {name.partition(".")[0]: path for path in PACKAGE.rglob("*.py") for name in imports(path)}
    assert "torch" in declared
    assert {name: path for name, path in used.items() if name not in given} == {}


def test_importing_the_package_loads_nothing():
    code = "import sys, lors_det; print({name.split('.')[0] for name in sys.modules} & {'torch', 'mmcv', 'mmdet'})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"

"""Commands in the documentation take the arguments that it gives them, and its configs and options are there."""

from __future__ import annotations

import importlib
import re
import shlex
from argparse import ArgumentParser
from pathlib import Path

import pytest

from lors_det.cli import COMMANDS
from lors_det.plugin.config.reading import load_config

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("configs/*/README.md"))]
SHELL = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    """The words of each ``lors-det COMMAND`` in a page's blocks of shell."""
    found = []
    for block in SHELL.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"\$\(.*?\)|\$\w+", "0", line)  # what the shell puts there
            lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*lexer, "&&"]:
                if word in ("&&", "|", ";", "&"):
                    if "lors-det" in words:
                        found.append(words[words.index("lors-det") + 1 :])
                    words = []
                else:
                    words.append(word)
    return found


CONFIGS = [
    pytest.param(block, id=str(page.relative_to(ROOT)))
    for page in PAGES
    for block in re.findall(
        r"^```python\n(_base_ = .*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
]

DOCUMENTED = [
    pytest.param(words, id=f"{page.relative_to(ROOT)}: {' '.join(words)[:80]}")
    for page in PAGES
    for words in commands(page)
]


def test_there_are_some_on_many_pages():
    pages = {str(each.id).partition(":")[0] for each in DOCUMENTED}
    assert {"README.md", "docs/ablations.md", "docs/studies/README.md", "configs/finetune/README.md"} <= pages


@pytest.mark.parametrize("text", CONFIGS)
def test_a_config_of_ones_own_is_read(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(text)
    load_config(tmp_path / "own.py", {"model.bbox_head.num_classes": 80}, "work_dir")


@pytest.mark.parametrize("words", DOCUMENTED)
def test_it_is_understood(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no data is, a model may have any number of classes
    if words[0].startswith("-"):
        assert words[0] in ("--help", "--version")
        return
    assert words[0] in COMMANDS or words[0] == "COMMAND"
    if "..." in words or words[0] == "COMMAND":
        return  # an abbreviation
    parser = ArgumentParser(exit_on_error=False)
    importlib.import_module(f"lors_det.cli.{words[0].replace('-', '_')}").add_arguments(parser)
    args = parser.parse_args([word.strip("[]") for word in words[1:]])  # brackets: it may be left out
    config = str(getattr(args, "config", ""))
    if config.startswith(("lors_det::", "configs/")):
        options = {**(getattr(args, "cfg_options", None) or {}), "model.bbox_head.num_classes": 80}
        load_config(re.sub("^configs/", f"{ROOT}/configs/", config), options, "work_dir")

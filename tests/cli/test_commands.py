"""Commands, their modules and their scripts belong together."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import config

import lors_det
from lors_det.cli import COMMANDS, main, run


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_a_module_and_one_script(root, name):
    module = importlib.import_module(f"lors_det.cli.{name.replace('-', '_')}")
    module.add_arguments(argparse.ArgumentParser())
    assert callable(module.main)
    scripts = [path for path in root.glob("tools/**/*.py") if f'run("{name}")' in path.read_text()]
    assert len(scripts) == 1


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("train no.py", "config no.py does not exist"),
        ("train lors_det::no.py --resume", "config lors_det::no.py does not exist"),
        ("train {config} --load-from no.pth", "checkpoint no.pth does not exist"),
        ("test no.pth", "checkpoint no.pth does not exist"),
        ("test {config}", "is a config; name a checkpoint after it"),
        ("infer a.jpg --checkpoint no.pth", "checkpoint no.pth does not exist"),
        ("convert no.pth to.pth", "checkpoint no.pth does not exist"),
        ("draw-sheet no.py p.pkl sheet.png", "config no.py does not exist"),
    ],
)
def test_what_does_not_exist_is_told_before_torch_is_imported(root, tmp_path, words, fault):
    """Which takes seconds: in a fresh process."""
    config = next((root / "configs/shapes").glob("*.py"))
    given = words.format(config=config).split()
    code = "import sys, lors_det.cli as cli\ntry: cli.run(*sys.argv[1:2], sys.argv[2:])\n"
    code += "finally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *given], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert fault in done.stderr
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize("name", COMMANDS)
def test_values_of_an_option_given_twice_add_up(name):
    """argparse itself would keep the last ones, and forget the others without a word."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f"lors_det.cli.{name.replace('-', '_')}").add_arguments(parser)
    lists = [action for action in parser._actions if action.option_strings and action.nargs == "+"]
    for option in lists:
        words = [(option.option_strings[0], word) for word in ("a=1", "b=2")]
        options = argparse.ArgumentParser()
        options._add_action(option)
        found = getattr(options.parse_args([*words[0], *words[1]]), option.dest)
        assert found in (["a=1", "b=2"], {"a": 1, "b": 2}), option.option_strings


def test_every_script_and_every_module_is_a_command(root):
    for path in root.glob("tools/**/*.py"):
        assert re.findall(r'run\("(.+)"\)', path.read_text())[0] in COMMANDS, path
    modules = {path.stem.replace("_", "-") for path in root.glob("lors_det/cli/*.py")}
    assert modules - {"--init--", "shared"} == set(COMMANDS)


def test_help_lists_the_commands_and_loads_nothing_heavy():
    code = (
        "import sys; from lors_det.cli import main\nsys.argv[1:] = ['--help']\n"
        "try: main()\nexcept SystemExit: print({'torch', 'mmengine', 'matplotlib'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert done.stdout.splitlines()[-1] == "set()"


def ended(name: str, words: list[str]) -> tuple[str, str]:
    """What a command prints and says; its last line is the status and which packages that take seconds were loaded."""
    code = (
        "import sys; from lors_det.cli import run\n"
        f"try: run({name!r}, {words!r})\n"
        "except SystemExit as end: print(end.code, {'torch', 'mmengine', 'mmdet', 'matplotlib'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_itself_before_it_loads_what_takes_seconds(name):
    printed, _ = ended(name, ["--help"])
    assert printed.startswith("usage:")
    assert printed.splitlines()[-1] == "0 set()"


@pytest.mark.parametrize(
    "arguments",
    [
        "convert a.pth b.pth --config c.py",
        "infer a.jpg --checkpoint b.pth --batch-size 0",
        "study none.yaml",
        "study a.yaml --jobs 0",
        "test c.py k.pth --out x.txt",
    ],
)
def test_wrong_arguments_are_answered_before_that_too(arguments):
    name, *words = arguments.split()
    printed, said = ended(name, words)
    assert said.startswith("error: ")
    assert printed == "2 set()\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.jpg", "--chekpoint", "b.pth"], "--chekpoint is no option, did you mean --checkpoint?"),
        (["a.jpg", "--checkpoint=b.pth", "--zzz=1"], "--zzz is no option\n"),
        (["a.jpg", "--checkpoint=b.pth", "--jsn", "c.json"], "error: --jsn is no option, did you mean --json?\n"),
        (["a.jpg", "--checkpoint=b.pth", "--annotat", "c.json"], "error: --annotat is no option, did you mean"),
    ],
)
def test_a_misspelt_option_is_named(words, said, capsys):
    with pytest.raises(SystemExit):
        run("infer", words)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", ["c.py --quiet k.pth", "--quiet c.py k.pth", "c.py k.pth --out p.pkl", "c.py --out p.pkl k.pth"]
)
def test_options_stand_anywhere_between_config_and_checkpoint(words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("c.py", "k.pth"):
        Path(name).touch()
    seen = []
    command = importlib.import_module("lors_det.cli.test")
    monkeypatch.setattr(command, "main", lambda args: seen.append((args.config, args.checkpoint)))
    run("test", words.split())
    run("test", ["--quiet", "k.pth"])
    assert seen == [("c.py", "k.pth"), (None, "k.pth")]


def test_a_reader_that_goes_away_is_no_error():
    """As in `lors-det ... | head -1`."""
    code = (
        "from types import SimpleNamespace; from lors_det.cli import run_command\n"
        "main = lambda args: [print('line' * 100) for _ in range(2000)]\n"
        "run_command(SimpleNamespace(__doc__='', add_arguments=lambda parser: None, main=main), [])"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_version_and_wrong_commands(monkeypatch, capsys):
    for arguments, status in ((["--version"], 0), (["trian"], 2), ([], 2)):
        monkeypatch.setattr(sys, "argv", ["lors-det", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == status
    printed = capsys.readouterr()
    assert printed.out.strip() == f"lors_det {lors_det.__version__}"
    assert "trian is no command, did you mean train?" in printed.err
    assert "\ncommands:\n  train " in printed.err, "without a command, help is shown"


def test_what_a_user_can_mend_is_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["lors-det", "count-params", str(tmp_path / "none.py")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: config {tmp_path / 'none.py'} does not exist")


@pytest.mark.parametrize("where", ["imports", "work", "layout"])
def test_ctrl_c_is_one_line(monkeypatch, capsys, where, tmp_path):
    """Also while its module is imported, or a config's text is laid out, which mmengine makes an error of."""
    path = tmp_path / "config.py"
    path.touch()

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    if where == "imports":
        monkeypatch.setattr(importlib, "import_module", interrupted)
    elif where == "layout":
        monkeypatch.setattr(config, "FormatCode", interrupted)
        command = importlib.import_module("lors_det.cli.count_params")
        monkeypatch.setattr(command, "main", lambda args: config.Config(dict(a=1)).pretty_text)
    else:
        monkeypatch.setattr(importlib.import_module("lors_det.cli.count_params"), "main", interrupted)
    monkeypatch.setattr(sys, "argv", ["lors-det", "count-params", str(path)])
    with pytest.raises((SystemExit, KeyboardInterrupt)) as ended:
        main()
    assert getattr(ended.value, "code", None) == 130
    assert capsys.readouterr().err.split() == ["interrupted"]


def test_a_package_that_is_missing_is_named(monkeypatch, capsys, tmp_path):
    """And a module that a package lacks is a fault of ours, or of another version of it: its traceback stays."""

    def main(args: argparse.Namespace) -> None:
        importlib.import_module(args.file)

    monkeypatch.setattr("lors_det.cli.plot_curves.main", main)
    monkeypatch.setattr("lors_det.cli.plot_curves.add_arguments", lambda parser: parser.add_argument("file"))
    with pytest.raises(SystemExit) as ended:
        run("plot-curves", ["no_such_package.part"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: the Python package no_such_package is not installed; pip")
    with pytest.raises(ModuleNotFoundError):
        run("plot-curves", ["mmengine.no_such_part"])


def test_a_name_that_is_no_text_is_printed_all_the_same(root, tmp_path):
    """Archives made on other systems have such names, and a terminal in UTF-8 would end the command."""
    for split, names in (("train", "abc"), ("val", "yz")):
        for folder, content in (("images", b"no image"), ("labels", b"0 .5 .5 .2 .2\n")):
            (tmp_path / split / folder).mkdir(parents=True)
            for name in names:
                suffix = {"images": ".jpg", "labels": ".txt"}[folder]
                (tmp_path / split / folder / f"caf\udce9{name}{suffix}").write_bytes(content)
    command = [sys.executable, "-m", "lors_det", "check-data", str(tmp_path), "--no-images"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict", "PYTHONPATH": str(root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "caf\\udce9" in done.stdout + done.stderr

"""The documentation is correct: commands parse, links resolve, generated pages are current."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from places import ROOT

from emorec_tf import cli
from emorec_tf.config import choices, config
from emorec_tf.config.flags import Parser
from emorec_tf.inference import corpus_matrix
from emorec_tf.records import joining
from emorec_tf.training import checks, experiment

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]
PAGES = list(dict.fromkeys([*PAGES, ROOT / "saved_models" / "README.md"]))
SHELL = [*sorted(ROOT.glob("scripts/*.sh")), *sorted(ROOT.glob("configs/*.yaml"))]
CALL = re.compile(r"""(?:python|"\$python") -m emorec_tf\.\w+|(?<=[\s`])emorec (?=[a-z])""")


def lines_of(path: Path) -> list[str]:
    """Logical lines: those that end with a backslash are joined with the next."""
    return re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8")).splitlines()


def commands(paths: list[Path]) -> list[str]:
    """Calls of the package's commands in code blocks, scripts and comments."""
    found = set()
    for path in paths:
        for line in lines_of(path):
            start = CALL.search(line)
            code = line[start.start() :] if start else ""
            if code and "..." not in code:
                found.add(balanced(code.split("`")[0].replace('"$python"', "python")))
    return sorted(found)


def balanced(code: str) -> str:
    """Drop a closing quote whose opening one precedes the command, as in ``bash -c '...'``."""
    try:
        shlex.split(code, comments=True)
    except ValueError:
        return code.rstrip("'\"")
    return code


COMMANDS, SCRIPTED = commands(PAGES), commands(SHELL)


def verb_and_words(line: str) -> tuple[str, list[str]]:
    words = shlex.split(line, comments=True)
    if words[0] == "emorec":
        return words[1], words[2:]
    return words[2].removeprefix("emorec_tf."), words[3:]


def test_there_are_commands() -> None:
    verbs = {verb_and_words(line)[0] for line in COMMANDS}
    assert verbs == set(cli.VERBS), "each command is shown somewhere"
    assert len(COMMANDS) >= 25
    assert len(SCRIPTED) >= 20


class UnderstoodError(Exception):
    """Raised once the arguments are parsed; the command itself is not run here."""


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_parses(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    understood = Parser.parse_args

    def stop(*given: object, **named: object) -> None:
        understood(*given, **named)  # type: ignore[arg-type]
        raise UnderstoodError

    monkeypatch.setattr(Parser, "parse_args", stop)
    verb, words = verb_and_words(line)
    with pytest.raises(UnderstoodError):
        importlib.import_module(f"emorec_tf.{verb}").main(words)
    if "--config" in words:
        path = words[words.index("--config") + 1]
        assert not path.startswith("configs/") or (ROOT / path).is_file()


TRAINING = ("train", "crossval", "crosscorpus")


@pytest.mark.parametrize(
    "line",
    [
        n
        for n in COMMANDS
        if verb_and_words(n)[0] in TRAINING
        and "--config runs/" not in n
        # what is trained on a folder of clips is chosen when they are found
        and "--source" not in n
    ]
    + [f"python -m emorec_tf.{verb} {cli.EXAMPLES[verb]}" for verb in TRAINING],
)
def test_settings_of_every_training_go_together(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(given: dict[str, object], **_: object) -> None:
        checks.check_settings(config.build(given))
        raise UnderstoodError

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(experiment, "resolve", stop)
    monkeypatch.setattr(corpus_matrix, "model_row", lambda name, records: None)
    monkeypatch.setattr(joining, "open_all", stop_opening)
    verb, words = verb_and_words(line)
    with pytest.raises(UnderstoodError):
        importlib.import_module(f"emorec_tf.{verb}").run(words)


def stop_opening(folders: str) -> None:
    """What reads records before it looks at settings trains nothing."""
    raise UnderstoodError


@pytest.mark.parametrize("line", SCRIPTED)
def test_flags_in_scripts_and_configs_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    verb, words = verb_and_words(line)
    with pytest.raises(SystemExit):
        importlib.import_module(f"emorec_tf.{verb}").main(["--help"])
    known = set(re.findall(r"--\w+", capsys.readouterr().out))
    assert {w.partition("=")[0] for w in words if w.startswith("--")} <= known


def anchors(path: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_resolve(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
    for script in set(re.findall(r"scripts/\w+\.\w+", text)):
        assert (ROOT / script).exists(), script


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


def test_no_folder_beside_the_repository_is_named() -> None:
    places = ("docs/*", "configs/*", "scripts/*", "*.md", "saved_models/README.md", ".github/**/*")
    for path in (p for place in places for p in ROOT.glob(place)):
        if path.is_file() and path.suffix != ".png":
            assert "../shared" not in path.read_text(encoding="utf-8"), path


def test_zoo_page_is_current() -> None:
    """``scripts/zoo_tables.py`` writes docs/zoo.md; run it after a change to a table."""
    place = importlib.util.spec_from_file_location("zoo_tables", ROOT / "scripts/zoo_tables.py")
    assert place is not None
    assert place.loader is not None
    zoo_tables = importlib.util.module_from_spec(place)
    place.loader.exec_module(zoo_tables)
    page = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")
    assert page == zoo_tables.page(), "run scripts/zoo_tables.py"
    names = {name for kind in choices.TABLES for name in choices.entries(kind)}
    assert {name for name in names if f"| `{name}` |" not in page} == set()


def test_architecture_page_shows_the_checked_package_order() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    rows = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`[^|]*(?:\\\|[^|]*)*?) \|", rows, re.MULTILINE)
    shown = [set(re.findall(r"`(\w+)`", cell)) for cell in cells]
    layers = [set(layer.split(" | ")) for layer in contract["layers"]]
    rooms = [layer for layer in layers if not layer & {"__main__", *cli.VERBS}]
    assert shown[: len(rooms)] == rooms


def test_every_config_is_known() -> None:
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        built = config.build(config.read_yaml(path))
        for kind, choice in vars(built.model).items():
            if kind in choices.TABLES:
                choices.check(kind, choice)


def test_python_names_in_documents_exist() -> None:
    import emorec_tf

    for page in PAGES:
        for name in re.findall(r"\bemorec_tf\.(\w+)\(", page.read_text(encoding="utf-8")):
            assert hasattr(emorec_tf, name), f"{page.name}: emorec_tf.{name}"

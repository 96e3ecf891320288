"""Every command and example in a block of the pages is run, as it stands but for where the VM is.

For each `make` target in the text, the test that runs it is named and looked up. A command behind `!` has to end with
status 1. Examples of libraries that are not installed here are run in tests/documentation/test_client_guide.py.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.machine import BIN, CHECKOUT, make, run

BESIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = sorted([*(CHECKOUT / name for name in BESIDE), *(CHECKOUT / "docs").rglob("*.md")])
ELSEWHERE = re.compile(r"^(?:from|import) (?:langchain|litellm)", re.MULTILINE)
# Pages of which each block goes on where the one before it ended.
IN_ORDER = {"docs/log.md", "docs/releasing.md"}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:make|vitrine|ansible-playbook|python) [^`]+)`")
# `make` targets → the test that runs them; a target that the pages name and that is not here fails the test below.
TARGETS = {
    "deploy": "tests/e2e/conftest.py",
    "destroy": "tests/e2e/conftest.py",
    "pcr-table": "tests/e2e/conftest.py",
    "test": ".ci/run",
    "setup": "Makefile",  # deploy and test begin with it
    "help": "Makefile",
    "docs": "tests/slow/test_targets.py",
    "whitepaper": "tests/slow/test_targets.py",
    "bake": "tests/slow/test_targets.py",
    "verify": "tests/e2e/test_docs.py",
    "ask": "tests/e2e/test_docs.py",
    "lock": "tests/slow/test_targets.py",
    "vllm-lock": "tests/slow/test_targets.py",
    "bench": "tests/slow/test_targets.py",
    "bench-log": "tests/slow/test_targets.py",
    "test-transparency": "Makefile",  # the tests themselves
    "bench-attestation": "tests/slow/test_targets.py",
    "fuzz": "tests/slow/test_targets.py",
    "hardening-numbers": "tests/slow/test_targets.py",
    "reproduce": "tests/slow/test_targets.py",
    "archive": "tests/e2e/test_audit.py",
    "audit": "tests/e2e/test_audit.py",
    "mutants": "tests/slow/test_targets.py",
    "clean": "Makefile",  # what it runs has tests of its own (tests/provisioner/test_make_clean.py)
    "test-clouds": "Makefile",  # the same tests as in the unit tests, at every call in place of some
    "test-gpu": "tests/slow/test_targets.py",  # without a GPU that it says what it wants
    "test-serving": "tests/slow/test_targets.py",
    "bench-serving": "tests/slow/test_targets.py",
    "soak": "tests/slow/test_targets.py",
    "test-packaging": "Makefile",  # the tests themselves
    "test-clients": "Makefile",  # the tests themselves
    "compat-page": "Makefile",  # test-clients and test-serving compare what it would write
    "test-lockdown": "Makefile",  # the tests themselves
    "test-slow": "Makefile",  # the run that these belong to
}


def blocks(language):
    found = []
    for page in PAGES:
        name, every = str(page.relative_to(CHECKOUT)), BLOCK.findall(page.read_text())
        texts = {str(number): text for number, (kind, text) in enumerate(every) if kind == language}
        if name in IN_ORDER and texts:
            texts = {language: "\n".join(texts.values())}
        found += [pytest.param(text, id=f"{name}-{number}") for number, text in texts.items()]
    return found


def commands(text):
    joined = re.sub(r"\\\n\s*", " ", text)
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


def at(vm, text):
    """Name this VM where the page names the local one."""
    port = vm.origin.rsplit(":", 1)[1]
    text = text.replace("https://127.0.0.1:8443", vm.origin).replace('("127.0.0.1", 8443,', f'("127.0.0.1", {port},')
    return text.replace("build/local/", f"{vm.root}/").replace("--name local", f"--name {vm.name}")


def targets():
    named = set()
    for page in PAGES:
        text = page.read_text()
        lines = [shlex.join(words) for kind, block in BLOCK.findall(text) if kind == "sh" for words in commands(block)]
        for line in [*lines, *INLINE.findall(text)]:
            if line.startswith("make "):
                named |= {word for word in line.split()[1:] if re.fullmatch(r"[a-z-]+", word)}
    return sorted(named)


def test_there_are_pages_with_commands():
    assert {"deploy", "test"} <= set(targets())
    assert len(list(scripts())) >= 3


@pytest.mark.parametrize("target", targets())
def test_every_target_that_the_pages_name_exists_and_is_run_somewhere(target):
    assert target in TARGETS, f"`make {target}` is in the documentation; name the test that runs it"
    where = (CHECKOUT / TARGETS[target]).read_text()
    if TARGETS[target] == "Makefile":
        assert re.search(rf"^{target}:", where, re.MULTILINE)
    elif TARGETS[target] == ".ci/run":
        assert f"exec make {target}\n" in where
    else:
        assert re.search(rf'make\("{target}"', where), f"{TARGETS[target]} does not run `make {target}`"
    assert run("make", "-n", target).status == 0


def in_the_background(words):
    """Start a command that serves, and return what ends it when it says that it does."""
    program = BIN / words[0].removeprefix(".venv/bin/")
    process = subprocess.Popen([program, *words[1:]], cwd=CHECKOUT, stderr=subprocess.PIPE, text=True)
    said = ""
    while "serving at" not in said:
        line = process.stderr.readline()
        said += line
        assert line, f"it ended: {said}"
    return lambda: (process.terminate(), process.communicate(timeout=60))


@pytest.mark.parametrize("text", blocks("sh"))
def test_shell_commands(linked, text, request):
    for line in commands(at(linked, text)):
        if line[0] == "make":
            continue  # see the table above
        if line[-1] == "&":
            request.addfinalizer(in_the_background(line[:-1]))
            continue
        status, words = (1, line[1:]) if line[0] == "!" else (0, line)
        if words[0] == "curl" and "--unix-socket" in words:
            outcome = run(*words)
            assert outcome.status == status, outcome.err
            continue
        program = words[0].removeprefix(".venv/bin/")
        assert words[0].startswith(".venv/bin/"), f"no test runs {words}"
        assert harmless(program, words[1:]), f"no test runs {words}"
        given, sink = (words[1:-2], words[-1]) if words[-2] == ">" else (words[1:], None)
        outcome = run(BIN / program, *given)
        assert outcome.status == status, outcome.out + outcome.err
        if sink:
            Path(sink).write_text(outcome.out)


def harmless(program, words):
    return (
        program in {"vitrine", "ansible-inventory"}
        or (program == "ansible-playbook" and {"--check", "--diff"} <= set(words))
        or (program == "python" and words[0] == "-m" and words[1].startswith("examples."))
    )


def scripts():
    """Return the Python of each page as one script: a block may use what an earlier one of its page made."""
    for page in PAGES:
        found = [
            text for kind, text in BLOCK.findall(page.read_text()) if kind == "python" and not ELSEWHERE.search(text)
        ]
        if found:
            yield pytest.param("\n".join(found), id=str(page.relative_to(CHECKOUT)))


@pytest.mark.parametrize("text", list(scripts()))
def test_python_examples(vm, text, tmp_path):
    script = tmp_path / "example.py"
    script.write_text(at(vm, text))
    outcome = run(sys.executable, script, env={"PYTHONPATH": str(CHECKOUT)})
    assert outcome.status == 0, outcome.err
    if "What is the capital of Japan?" in text:
        assert "Tokyo" in outcome.out


def test_make_verify_and_ask(vm):
    link = CHECKOUT / "build" / vm.name
    words = (f"NAME={link.name}", f"PORT={vm.origin.rsplit(':', 1)[1]}")
    link.symlink_to(vm.root)
    try:
        verified, asked = make("verify", *words), make("ask", "QUESTION=What is the capital of Japan?", *words)
    finally:
        link.unlink()
    assert verified.status == 0, verified.out + verified.err
    assert asked.status == 0, asked.out + asked.err
    assert "Tokyo" in asked.out


@pytest.mark.parametrize("playbook", ["bake", "verify"])
def test_playbooks_without_make(vm, playbook):
    """The other two are what `make deploy` and `make destroy` run."""
    found = [name for page in PAGES for name in re.findall(r"playbooks/\{([a-z,]+)\}", page.read_text())]
    assert {name for names in found for name in names.split(",")} == {"bake", "deploy", "verify", "destroy"}
    link = CHECKOUT / "build" / vm.name
    where = {"deploy_name": link.name, "deploy_port": int(vm.origin.rsplit(":", 1)[1])}
    link.symlink_to(vm.root)
    try:
        words = (f"playbooks/{playbook}.yml", "-i", "inventories/local", "-e", json.dumps(where))
        outcome = run(BIN / "ansible-playbook", *words)
    finally:
        link.unlink()
    assert outcome.status == 0, outcome.out + outcome.err

"""Recipes, archives, the place of a rebuild and its sealing, diffoscope, the command: each as it can go wrong."""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from client_sdk.cli.options import UsageError
from client_sdk.encoding import canonical_json
from client_sdk.errors import FetchError, VerificationError
from provisioner.audit import command, running
from provisioner.audit import rebuild as rebuilding
from provisioner.audit.archive import Archive, manifest_digest
from provisioner.audit.audit import Audit
from provisioner.audit.finding import Finding
from provisioner.audit.gathering import gather
from provisioner.audit.how import how
from provisioner.audit.measured import predict_for
from provisioner.audit.needed import Materials
from provisioner.audit.provenance import origin_of, origins
from provisioner.audit.rebuild import rebuild, workplace
from provisioner.errors import BakeError, Fault, SpecError
from provisioner.image import afresh
from provisioner.image.recipe import Recipe, parse_recipe
from provisioner.measure import predict
from provisioner.platforms import Platform
from provisioner.publish import measurement_of
from provisioner.report.command import register
from tests.provisioner.audit import site as sites
from tests.provisioner.measure.fake_artefacts import write_artefacts

CHECKOUT = Path(__file__).resolve().parents[3]


def quiet(_line):
    pass


def test_a_recipe_is_read_back():
    recipe = Recipe("release", {"engine_models": '[{"name": "m"}]', "attester_gpus": '"1"'})
    assert parse_recipe(recipe.to_json()) == recipe
    assert recipe.variables() == {"engine_models": [{"name": "m"}], "attester_gpus": "1"}


@pytest.mark.parametrize("is_link", [False, True])
def test_a_pipe_in_an_archive_is_refused_and_not_waited_for(tmp_path, is_link):
    archive, pipe = tmp_path / "archive", tmp_path / "pipe"
    sites.put(archive / "image/manifest.json", b"{}")
    manifest_digest(archive)
    if is_link:
        os.mkfifo(pipe)
        (archive / "image/uki.efi").symlink_to(pipe)
    else:
        os.mkfifo(archive / "image/uki.efi")
    with pytest.raises(BakeError, match=r"image/uki\.efi is no file"):
        manifest_digest(archive)


class _Manifest:
    """As much of one as a bake is told."""

    def __init__(self, source_commit):
        self.source_commit = source_commit


@pytest.mark.parametrize(
    ("mode", "values", "commit", "says"),
    [
        ("test", {"ansible_rootdir": '"/"'}, "", r"sets ansible_rootdir, which no role of the checkout takes"),
        ("test", {"gateway_port": r'"\u007b\u007b lookup(1) }}"'}, "", "a template in gateway_port"),
        ("test", {"engine_models": '[{"name": "a{% x %}"}]'}, "", "a template in engine_models"),
        ("test", {"engine_models": '[{"{{ x }}": "a"}]'}, "", "a template in engine_models"),
        ("test", {"gateway_port": '"#jinja2: block_start_string: 1' + r'\nx"'}, "", "a template in gateway_port"),
        ("{{ x }}", {}, "", "a template in the mode"),
        ("test", {}, "{# x #}", "a template in the commit"),
    ],
)
def test_what_an_archive_asks_for_is_no_program_of_whoever_hosts_it(tmp_path, monkeypatch, mode, values, commit, says):
    monkeypatch.setattr(rebuilding, "bake_afresh", lambda *_: pytest.fail("it was run"))
    recipe = parse_recipe(Recipe(mode, values).to_json())
    archive = Archive(tmp_path, _Manifest(commit), b"", recipe)
    with pytest.raises(BakeError, match=says):
        rebuild(CHECKOUT, archive, Materials(None, ()), tmp_path)


def test_what_roles_take_is_baked(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(rebuilding, "bake_afresh", lambda order, *_: asked.append(order.variables))
    recipe = Recipe("test", {"engine_models": '[{"name": "m", "more": {"a": {}}}]', "gateway_port": "444"})
    rebuild(CHECKOUT, Archive(tmp_path, _Manifest("0" * 40), b"", recipe), Materials(None, ()), tmp_path)
    assert asked == [recipe.variables() | {"bake_mode": "test", "bake_source_commit": "0" * 40}]


@pytest.mark.parametrize(
    "told",
    [
        {"version": 2, "mode": "test", "values": {}},
        {"version": 1, "mode": "test"},
        {"version": 1, "mode": 1, "values": {}},
        {"version": 1, "mode": "test", "values": []},
        {"version": 1, "mode": "test", "values": {"a b": "1"}},
        {"version": 1, "mode": "test", "values": {"a": 1}},
        {"version": 1, "mode": "test", "values": {"a": "{"}},
    ],
)
def test_a_malformed_recipe_is_refused(told):
    with pytest.raises(BakeError, match=r"recipe\.json"):
        parse_recipe(json.dumps(told).encode())


@pytest.mark.root
def test_an_archive_is_made_whole_and_once(site, tmp_path):
    output = tmp_path / "archive"
    gather(site.image, site.source, site.cache, output, weights={}, progress=quiet)
    index = json.loads((output / "archive.json").read_bytes())
    assert len([path for path in index["files"] if path.startswith("debs/")]) == 3
    assert index["manifest_sha256"] == site.release.manifest_sha256.hex()
    before = (output / "archive.json").stat().st_mtime_ns
    gather(site.image, site.source, site.cache, output, weights={}, progress=quiet)
    assert (output / "archive.json").stat().st_mtime_ns == before


@pytest.mark.root
def test_an_archive_lacks_nothing_or_is_not_made(site, tmp_path):
    for deb in (site.cache / "debs").iterdir():
        deb.unlink()
    with pytest.raises(BakeError, match=r"is not in .* any more"):
        gather(site.image, site.source, site.cache, tmp_path / "archive", weights={}, progress=quiet)
    assert not (tmp_path / "archive").exists()


@pytest.mark.root
def test_a_tampered_cache_makes_no_archive(site, tmp_path):
    deb = next((site.cache / "debs").iterdir())
    deb.write_bytes(b"tampered")
    with pytest.raises(BakeError, match="the lock says sha256"):
        gather(site.image, site.source, site.cache, tmp_path / "archive", weights={}, progress=quiet)
    assert not (tmp_path / "archive").exists()


@pytest.mark.root
def test_an_archive_of_another_image_is_not_written_over(site, other):
    with pytest.raises(BakeError, match="archive of another image"):
        gather(other, site.source, site.cache, site.archive, weights={}, progress=quiet)


@pytest.mark.root
def test_a_folder_with_something_else_in_it_is_not_replaced_by_an_archive(site, tmp_path):
    (tmp_path / "empty").mkdir()
    gather(site.image, site.source, site.cache, tmp_path / "empty", weights={}, progress=quiet)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_bytes(b"kept")
    for output in (tmp_path / "full", tmp_path / "full" / "mine"):
        with pytest.raises(SpecError, match="--output: expected a folder that is not there yet"):
            gather(site.image, site.source, site.cache, output, weights={}, progress=quiet)
    assert (tmp_path / "full" / "mine").read_bytes() == b"kept"


@pytest.mark.root
def test_files_of_a_model_are_found_by_hash_in_the_folder_that_is_named(site, tmp_path):
    data = b"weights of a model"
    digest = sites.hashlib.sha256(data).hexdigest()
    entry = {"name": "big", "repository": "o/n", "revision": "0" * 40, "files": {"sub/model.gguf": digest}}
    (site.image / "recipe.json").write_bytes(Recipe("test", {"engine_weights": json.dumps([entry])}).to_json())
    with pytest.raises(BakeError, match="--weights big=FOLDER"):
        gather(site.image, site.source, site.cache, tmp_path / "a", weights={}, progress=quiet)
    sites.put(tmp_path / "files/sub/model.gguf", data)
    weights = {"big": tmp_path / "files"}
    gather(site.image, site.source, site.cache, tmp_path / "a", weights=weights, progress=quiet)
    assert (tmp_path / "a/weights" / digest).read_bytes() == data


@pytest.mark.parametrize("path", ["/etc/passwd", "../x"])
def test_a_recipe_cannot_name_files_elsewhere(site, tmp_path, path):
    entry = {"name": "m", "files": {path: "0" * 64}}
    (site.image / "recipe.json").write_bytes(Recipe("test", {"engine_weights": json.dumps([entry])}).to_json())
    with pytest.raises(BakeError, match="is no file of a model"):
        gather(site.image, site.source, site.cache, tmp_path / "a", weights={}, progress=quiet)


@pytest.mark.parametrize("error", [KeyboardInterrupt, BakeError("x")])
def test_nothing_is_left_of_an_audit_however_it_ends(tmp_path, error):
    def interrupted():
        with workplace(tmp_path / "work", keep=False) as work:
            (work / "sources/x").mkdir(parents=True)
            raise error

    with pytest.raises((KeyboardInterrupt, BakeError)):
        interrupted()
    assert [path.name for path in (tmp_path / "work").iterdir() if path.is_dir()] == []


def test_what_an_audit_that_was_killed_left_is_removed_by_the_next(tmp_path):
    with workplace(tmp_path / "work", keep=True) as work:
        (work / "images").mkdir()
    with workplace(tmp_path / "work", keep=False) as work:
        assert not (work / "images").exists()


def test_a_folder_of_somebody_else_is_not_emptied(tmp_path):
    (tmp_path / "thesis").mkdir()
    with pytest.raises(SpecError, match="--work: expected an empty folder"), workplace(tmp_path, keep=False):
        pass
    assert (tmp_path / "thesis").is_dir()


@pytest.mark.root
def test_the_rebuild_has_no_network_not_even_this_machines_own(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
        subprocess.run([sys.executable, "-c", script], check=True)
        words = [*afresh._ALONE, "sh", "-c", afresh._LOOPBACK, "sh", sys.executable, "-c", script]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Connection refused" in done.stderr


@pytest.mark.parametrize(("cores", "expected"), [(0, None), (1, "1")])
def test_a_bake_gets_as_many_cores_as_it_is_to_have(cores, expected):
    words = afresh._with_cores(["nproc"], cores)
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() == (
        expected or str(len(os.sched_getaffinity(0)))
    )


def test_every_file_that_a_role_installs_has_its_origin():
    found = {origin.source: origin for origin in origins(CHECKOUT)}
    installed = [path for path in (CHECKOUT / "roles").glob("*/files/tree/**/*") if path.is_file() or path.is_symlink()]
    assert {path.relative_to(CHECKOUT).as_posix() for path in installed} <= set(found)
    rules = origin_of(CHECKOUT, "roles/egress_firewall/files/tree/usr/lib/vitrine/firewall.nft.j2")
    assert (rules.role, rules.target) == ("egress_firewall", "/usr/lib/vitrine/firewall.nft")
    assert origin_of(CHECKOUT, "serving/gateway/app.py").target == "/usr/lib/vitrine/serving/gateway/app.py"
    assert origin_of(CHECKOUT, "provisioner/image/data/init.sh").target == "initrd:/init"


def test_on_a_cloud_only_what_comes_out_of_the_image_is_predicted(tmp_path):
    image = write_artefacts(tmp_path / "image")
    cloud = measurement_of(predict(image), Platform(name="gcp", boot=predict(image).boot))
    found = predict_for(image, cloud)
    assert sorted(found.pcrs) == [4, 5, 9, 11, 12, 13, 14]


def test_binary_files_without_diffoscope_name_the_byte_and_the_remedy(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    place, remedy = how("root:/x", b"\0abcdef", b"\0abXdef")
    assert place == "the first difference is byte 0x3: 63 64 65 66 and 58 64 65 66"
    assert "install Debian's package diffoscope" in remedy


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('test -f published/x && test -f rebuilt/x && printf "│ -old\\033[1m\\n│ +new\\n"; exit 1', "│ -old\\x1b[1m"),
        ("echo sorry >&2; exit 2", "diffoscope failed with status 2: sorry"),
    ],
)
def test_binary_files_are_shown_by_diffoscope_where_it_is_installed(tmp_path, monkeypatch, script, expected):
    program = tmp_path / "diffoscope"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert how("root:/a/x", b"\0a", b"\0b")[1] == expected


def test_a_long_text_is_cut():
    shown = how("root:/x", b"", b"\n".join(b"%d" % n for n in range(1000)))
    assert len(shown) == 41
    assert "more lines" in shown[-1]


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    def ran(*words, outcome=None, uid=0):
        parser = argparse.ArgumentParser()
        commands = parser.add_subparsers()
        register(commands)
        command.register(commands)
        monkeypatch.setattr(os, "geteuid", lambda: uid)
        monkeypatch.setattr(running, "run", outcome)
        arguments = parser.parse_args(list(map(str, words)))
        return arguments.run(arguments), capsys.readouterr()

    return ran


WORDS = ("audit", "--source", ".", "--archive", "a", "--release", "r", "--publisher", "p")


def gives(found):
    def outcome(_, progress):
        progress("at work")
        return found

    return outcome


def test_the_exit_codes_of_an_audit(run):
    same, other = Audit((), digests=(("boot.raw", "00"),)), Audit((Finding("x", "a", "b\x1b"),))
    status, told = run(*WORDS, outcome=gives(same))
    assert (status, told.out.splitlines()[-1].partition(":")[0], told.err) == (0, "identical", "at work\n")
    status, told = run(*WORDS, outcome=gives(other))
    assert (status, told.out.splitlines()[-1].partition(":")[0], "\x1b" in told.out) == (1, "different", False)
    status, told = run(*WORDS, "--json", outcome=gives(other))
    assert (status, json.loads(told.out)["verdict"], json.loads(told.out)["findings"][0]["where"]) == (
        1,
        "different",
        "x",
    )


@pytest.mark.parametrize(
    ("error", "status", "verdict"),
    [
        (BakeError("no disk"), 3, "no verdict"),
        (FetchError("unreachable"), 3, "no verdict"),
        (VerificationError("L1.pcr4", "another image"), 1, "refused"),
    ],
)
def test_an_audit_that_compares_nothing_says_why(run, error, status, verdict):
    def outcome(_, progress):
        raise error

    got, told = run(*WORDS, outcome=outcome)
    assert (got, told.out, told.err) == (status, "", f"vitrine: {verdict}: {error}\n")
    got, told = run(*WORDS, "--json", outcome=outcome)
    assert (got, json.loads(told.out)["verdict"], json.loads(told.out)["why"]) == (status, verdict, str(error))


def test_what_cannot_be_audited_at_all_is_usage(run):
    def outcome(_, progress):
        raise SpecError((Fault("--work", "an empty folder", "another"),))

    with pytest.raises(UsageError, match=r"^--work: expected an empty folder, got another$"):
        run(*WORDS, "--json", outcome=outcome)


def test_a_folder_that_is_no_archive_is_named_before_anything_else(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match=r"--archive: .*; name "):
            running._archive(path)
    (tmp_path / "image").mkdir()
    assert running._archive(tmp_path) == tmp_path.resolve()


def test_an_audit_wants_root(run):
    with pytest.raises(UsageError, match="run it as root"):
        run(*WORDS, outcome=gives(None), uid=1000)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_an_audit_as_ctrl_c_does(run, number):
    def outcome(_, progress):
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        run(*WORDS, outcome=outcome)
    assert signal.getsignal(number) is before


def test_an_archive_by_the_command(run, tmp_path):
    assert run("image", "archive", tmp_path, "--output", tmp_path / "a", "--weights", "x")[0] == 2
    words = ("--output", tmp_path / "a", "--source", CHECKOUT)
    status, told = run("image", "archive", tmp_path, *words)
    assert (status, "IMAGE: expected the folder of a baked image" in told.err) == (2, True)
    (tmp_path / "uki.efi").write_bytes(b"")
    status, told = run("image", "archive", tmp_path, *words)
    assert (status, "recipe.json: No such file or directory; bake it anew" in told.err) == (1, True)
    words = ("--output", tmp_path / "a", "--source", tmp_path, "--weights", f"m={tmp_path / 'm'}")
    status, told = run("image", "archive", tmp_path / "none", *words)
    assert (status, [line.split(":")[0] for line in told.err.splitlines()[1:]]) == (
        2,
        ["  --weights m", "  IMAGE", "  --source"],
    )


@pytest.fixture
def checkout(tmp_path):
    source = sites.write_checkout(tmp_path / "source")
    sites.put(source / "playbooks/bake.yml", b"---\n")
    (source / ".git").mkdir()
    return source


def test_a_checkout_has_to_be_one_and_to_have_the_line(checkout):
    assert running._checkout(checkout, sites.LINE) == checkout.resolve()
    for line, words in (("roles/none:1", "No such file"), (f"{sites.RULES}:9", "has 3 lines"), ("x", "No such file")):
        with pytest.raises(UsageError, match=f"--line: .*{words}"):
            running._checkout(checkout, line)
    (checkout / ".git").rmdir()
    for path in (checkout, checkout / "roles", checkout / "nothing"):
        with pytest.raises(UsageError, match="--source: "):
            running._checkout(path, sites.LINE)


@pytest.mark.root
def test_packages_are_listed_with_their_digests_and_held_against_the_archive(run, site):
    status, told = run("image", "packages", site.image)
    names = [line.split()[1] for line in told.out.splitlines()]
    assert (status, names[:3]) == (0, ["bash", "libc6", "engine"])
    counted, named = told.out.splitlines()[-2:]
    assert counted.startswith("packages 2 of Debian trixie: 2 in the root; 1 from PyPI. 1 of Debian built the image,")
    assert named == f"manifest {site.release.manifest_sha256.hex()}"
    status, told = run("image", "packages", site.image, "bash", "--json")
    (row,) = json.loads(told.out)["packages"]
    assert (status, row["sha256"], row["source"]) == (0, sites.package("bash").sha256, "bash 1")
    status, told = run("image", "packages", site.image, "nosuch")
    assert (status, told.err.endswith(f"what there is: vitrine image packages {site.image}\n")) == (1, True)
    status, told = run("image", "packages", site.image, "--archive", site.archive)
    usage = "vitrine: usage: PACKAGE: expected the one that --archive is about, before it, got none\n"
    assert (status, told.err) == (2, usage)
    for none in (site.image / "nowhere", site.image):
        status, told = run("image", "packages", site.image, "bash", "--archive", none)
        make = f"make one with `vitrine image archive {site.image} --output {none}`, got {none}, without debs/\n"
        assert (status, told.err) == (2, f"vitrine: usage: --archive: expected an archive of a release: {make}")
    (site.image / "sbom.json").rename(site.image / "kept")
    for words, code in ((("packages", site.image), 1), (("report", site.image, "--offline"), 2)):
        status, told = run("image", *words)
        assert (status, "has no bill of materials: cannot read " in told.err) == (code, True)
        assert told.err.count("make bake") == told.err.count("bake it") == 1, "what to do is said once"
    (site.image / "kept").rename(site.image / "sbom.json")
    status, told = run("image", "packages", site.image, "engine", "--archive", site.archive)
    assert (status, "PACKAGE: expected one of Debian's packages" in told.err) == (2, True)
    status, told = run("image", "packages", site.image, "bash", "--archive", site.archive)
    assert (status, "is not what dpkg-deb unpacks" in told.err) == (1, True)
    deb = site.archive / f"debs/{sites.package('bash').sha256}.deb"
    for spoil in (lambda: deb.write_bytes(b"another"), deb.unlink):
        spoil()
        status, told = run("image", "packages", site.image, "bash", "--archive", site.archive)
        assert (status, "--archive: expected the archive of this image, which has bash" in told.err) == (2, True)


class Full(io.StringIO):
    """A standard output on a disk that is full."""

    def write(self, _text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.root
@pytest.mark.parametrize("words", [("list",), ("packages",), ("firewall",), ("show", "/usr/lib/vitrine/firewall.nft")])
def test_a_full_output_says_nothing_of_the_image(run, site, monkeypatch, words):
    with monkeypatch.context() as patching:
        patching.setattr("sys.stdout", Full())
        with pytest.raises(OSError, match="No space left") as caught:
            run("image", words[0], site.image, *words[1:])
    assert caught.value.filename is None, "by which the command's edge knows standard output"


@pytest.mark.root
def test_a_bill_of_packages_that_the_manifest_does_not_name_is_refused(run, site):
    manifest = json.loads((site.image / "manifest.json").read_bytes())
    manifest["packages"].pop()
    (site.image / "manifest.json").write_bytes(canonical_json(manifest))
    status, told = run("image", "packages", site.image)
    assert status == 1
    assert told.err.startswith("vitrine: the bill of materials has libc6, which the manifest does not name; ")

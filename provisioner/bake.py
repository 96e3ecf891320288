"""One bake, as the playbook sees it: what decides about the image, the tree to configure, the image in the end.

Between ``prepare`` and ``seal`` the roles configure the tree; both run in processes of their own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from client_sdk.evidence import MAX_GPUS
from provisioner.access import Access, read_access
from provisioner.commit import is_commit, source_commit
from provisioner.errors import BakeError, Fault, SpecError
from provisioner.gate import refuse, refuse_on_trial
from provisioner.image.adapters import require_adapters
from provisioner.image.artefacts import Service, check_image
from provisioner.image.firmware import has_firmware
from provisioner.image.key import bake_key, file_digests
from provisioner.image.model import model_card
from provisioner.image.normalise import clean
from provisioner.image.pack import BakedImage, PackSpec, find_image, pack
from provisioner.image.recipe import Recipe
from provisioner.image.rootfs import GpuImage, load_rootfs, prepare_rootfs
from provisioner.image.sources import HUB, Mode, Sources
from provisioner.image.vllm_wheels import LOCK_FILE, parse_closure
from provisioner.image.weights import Weights, read_weights
from provisioner.models import ModelSpec, read_models
from provisioner.progress import Progress

# The part of the client's package that the VM holds: formats only.
CLIENT_FILES = ("__init__", "access_token", "binding", "encoding", "errors", "evidence", "fields")
# Everything in the checkout that reaches the image or its manifest, or decides how something does.
INGREDIENTS = (
    *("roles", "serving", "playbooks/bake.yml", "plugins/filter", "plugins/modules", "plugins/connection/rootdir.py"),
    *(f"plugins/action/{name}.py" for name in ("bake_prepare", "bake_seal", "install_tree")),
    *(
        "provisioner/access.py",
        "provisioner/bake.py",
        "provisioner/gate",
        "provisioner/image",
        "provisioner/models.py",
        "provisioner/overlay.py",
        "provisioner/units.py",
        "requirements/vllm-gpu.lock",
    ),
    # The manifest names the UKI by its Authenticode digest.
    *("provisioner/measure/pe.py", "provisioner/measure/window.py", "client_sdk/manifest.py"),
    *(f"client_sdk/{name}.py" for name in CLIENT_FILES),
)
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True)
class Bake:
    """What the inventory asks for. ``values`` are the roles' variables; whatever they say is part of the image.

    ``commit`` is named in the manifest alone: two commits with the same ingredients make the same image.
    """

    repository: Path
    output: Path
    sources: Sources
    values: Mapping[str, str]
    commit: str = ""

    def key(self) -> str:
        """One hash over all that decides about the image; equal keys are equal images.

        Raises:
            BakeError: an ingredient is missing.
        """
        recipe = self.recipe()
        return bake_key(self.ingredients(), {**recipe.values, "bake_mode": recipe.mode})

    def recipe(self) -> Recipe:
        """Say what the image is asked to be, besides its ingredients."""
        values = {name: _without_places(name, value) for name, value in self.values.items()}
        return Recipe(self.sources.mode, values)

    def ingredients(self) -> dict[str, Path]:
        """Every file or folder of the checkout that the image is made of, by its name there."""
        return {name: self.repository / name for name in INGREDIENTS}

    def image(self) -> Path:
        """Name the folder of the finished image."""
        return self.output / self.key()

    def service(self) -> Service:
        """Say what the roles will make of the image, from the values that they take.

        Raises:
            SpecError: a value cannot be meant.
        """
        port = str(self._told()["gateway_port"])
        if not (port.isascii() and port.isdigit()):
            raise SpecError((Fault("gateway_port", "a port number", repr(port)),))
        return Service(int(port))

    def models(self) -> tuple[ModelSpec, ...]:
        """Say which models are served, and how.

        Raises:
            SpecError: it lists every fault.
        """
        return read_models(self._told()["engine_models"])

    def weights(self) -> tuple[Weights, ...]:
        """Say which files the model disk holds.

        Raises:
            SpecError: a model's files are not named, or not as they should be; it lists every fault.
        """
        return read_weights(self.models(), self._told()["engine_weights"], model_card())

    def access(self) -> Access:
        """Say who may ask the service.

        Raises:
            SpecError: the values do not say it, or contradict each other.
        """
        return read_access(self._told())

    def gpus(self) -> GpuImage | None:
        """Say for how many GPUs the image is, and which wheels use them; None for an image without.

        Raises:
            SpecError: the number cannot be meant, or is 0 where vLLM serves, which is in images for GPUs alone.
            BakeError: the lock of the wheels cannot be read.
        """
        count = str(self._told()["attester_gpus"])
        if not (count.isascii() and count.isdigit() and int(count) <= MAX_GPUS):
            raise SpecError((Fault("attester_gpus", f"a number from 0 to {MAX_GPUS}", repr(count)),))
        if not int(count):
            if "vllm" in {model.engine for model in self.models()}:
                wanted = "at least 1: engine_models names vLLM, which is in images for GPUs alone"
                raise SpecError((Fault("attester_gpus", wanted, "0"),))
            return None
        return GpuImage(int(count), parse_closure((self.repository / LOCK_FILE).read_text()))

    def require(self) -> None:
        """Refuse values that cannot be meant, before anything is made of them; who may ask is ``access``.

        Raises:
            SpecError: it lists every fault, each once.
            BakeError: the lock of the wheels cannot be read.
        """
        faults: dict[Fault, None] = {}
        for read in (self.service, self.weights, self.gpus):
            try:
                read()
            except SpecError as error:
                faults |= dict.fromkeys(error.faults)
        if faults:
            raise SpecError(tuple(faults))

    def workdir(self) -> Path:
        """Name the folder of the tree while it is configured."""
        return self.output / f".work-{self.key()[:16]}"

    def to_vars(self) -> dict[str, Any]:
        """Write down the bake, and the key that it has now, for the process that goes on with it."""
        sources = self.sources
        return {
            "repository": str(self.repository),
            "output": str(self.output),
            "cache": str(sources.cache),
            "mode": sources.mode,
            "mirror": sources.mirror or "",
            "security_mirror": sources.security_mirror or "",
            "hub": sources.hub,
            "values": dict(self.values),
            "commit": self.commit,
            "key": self.key(),
        }

    @classmethod
    def from_vars(cls, told: Mapping[str, Any]) -> Bake:
        """Go on with what ``to_vars`` wrote.

        Raises:
            SpecError: the sources are not what an inventory may say.
            BakeError: an ingredient has changed since.
        """
        addresses = Addresses(told["mirror"], told["security_mirror"], told["hub"])
        sources = read_sources(Path(told["cache"]), told["mode"], addresses)
        bake = cls(Path(told["repository"]), Path(told["output"]), sources, told["values"], told["commit"])
        if bake.key() != told["key"]:
            raise BakeError("the sources changed while the roles were applied; run the bake again")
        return bake

    def _told(self) -> dict[str, Any]:
        return role_options(self.repository) | {name: json.loads(value) for name, value in self.values.items()}


def require_own_code(repository: Path) -> None:
    """Refuse to bake one checkout with another's code: the key names the files of the checkout.

    Raises:
        BakeError: Python imports the provisioner from elsewhere.
    """
    running = Path(__file__).resolve().parents[1]
    if running != repository.resolve():
        raise BakeError(f"the code that runs is that of {running}, not of {repository}: set PYTHONPATH={repository}")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where things are downloaded from, as the inventory says it; empty is the default of each."""

    mirror: str = ""
    security_mirror: str = ""
    hub: str = ""


def read_sources(cache: Path, mode: str, told: Addresses) -> Sources:
    """Check what the inventory says about sources.

    Raises:
        SpecError: it lists every fault.
    """
    faults = []
    known = next((one for one in MODES if one == mode), None)
    if known is None:
        faults.append(Fault("bake_mode", " or ".join(MODES), repr(mode)))
    addresses = {
        "bake_mirror": (told.mirror, "the mirror of this machine's apt"),
        "bake_security_mirror": (told.security_mirror, "the mirror of this machine's apt"),
        "bake_hub": (told.hub, HUB),
    }
    for name, (value, default) in addresses.items():
        if value and not value.startswith(("http://", "https://")):
            faults.append(Fault(name, f"a URL, or nothing for {default}", repr(value)))
    if faults or known is None:
        raise SpecError(tuple(faults))
    return Sources(
        cache=cache,
        mode=known,
        mirror=told.mirror or None,
        security_mirror=told.security_mirror or None,
        hub=told.hub or HUB,
    )


def read_commit(repository: Path, mode: str, named: str) -> str:
    """Return the commit for the manifest: the one that is named (where there is no checkout), else git's answer.

    Raises:
        SpecError: it is not spelled as a commit.
        BakeError: a release is to be baked, and no commit holds its ingredients.
    """
    if named and not is_commit(named):
        raise SpecError((Fault("bake_source_commit", "40 or 64 hex digits, or nothing for git's answer", repr(named)),))
    found = named or source_commit(repository, INGREDIENTS)
    if mode == "release" and not found:
        raise BakeError("a release is made of a commit: commit what is changed, or set bake_source_commit to its id")
    return found


def finished(bake: Bake) -> BakedImage | None:
    """Return the image of this bake when it was made before, is what was made then, and its firmware is still there.

    Raises:
        BakeError: one of its files has changed since.
    """
    image = find_image(bake.image())
    if image is None or not has_firmware(bake.sources.cache):
        return None
    check_image(image)
    return image


def prepare(bake: Bake, *, owner: int, progress: Progress) -> Path:
    """Make a fresh tree for the roles; what interrupted bakes left half done is thrown away.

    ``owner`` is the process that sees the bake through: while it lives nobody else touches the tree.

    Raises:
        SpecError: a value of a role cannot be meant, or vLLM cannot serve an adapter.
        BakeError: a package or an adapter cannot be had, or another process is baking this image.
    """
    bake.require()
    bake.access()
    # Not where the model disk is made: of the same files there is one already, whichever adapters were served of it.
    require_adapters(bake.models(), bake.weights(), bake.sources, progress=progress)
    bake.output.mkdir(parents=True, exist_ok=True)
    mine = _claim(bake.workdir())
    for claim in bake.output.glob(".work-*.owner"):
        holder = _holder(claim)
        if claim == mine and holder not in (None, owner):
            raise BakeError(f"process {holder} is baking this image already; wait for it, or end it")
        if holder is None:
            shutil.rmtree(claim.with_suffix(""), ignore_errors=True)
            claim.unlink()
    mine.write_text(f"{owner} {_born(owner)}")
    return prepare_rootfs(bake.workdir(), bake.sources, progress=progress, gpus=bake.gpus()).tree


def seal(bake: Bake, *, progress: Progress) -> BakedImage:
    """Clean the configured tree, refuse it if it breaks a rule, pack it.

    Raises:
        BakeError: nothing was prepared, the tree breaks a rule, or it cannot be packed.
    """
    rootfs = load_rootfs(bake.workdir())
    progress("trying out what the roles made")  # by programs of the tree, some of which cleaning takes out
    refuse_on_trial(rootfs.tree, bake.sources.mode, progress=progress)
    progress("cleaning the tree")
    clean(rootfs.tree)
    progress("asking the refuse gate")
    refuse(rootfs.tree, bake.sources.mode)
    spec = PackSpec(
        output=bake.image(),
        seed=bake.key(),
        sources=bake.sources,
        service=bake.service(),
        weights=bake.weights(),
        contents=contents(bake),
        source_commit=bake.commit,
        token_issuer_key=bake.access().issuers,
        gpu_wheels=gpus.wheels if (gpus := bake.gpus()) else (),
        recipe=bake.recipe().to_json(),
    )
    if bake.sources.mode == "debug":
        progress("DEBUG: this image has a root shell on its console, and clients refuse its release")
    image = pack(rootfs, spec, progress=progress)
    shutil.rmtree(rootfs.workdir, ignore_errors=True)
    _claim(bake.workdir()).unlink(missing_ok=True)
    return image


def contents(bake: Bake) -> dict[str, str]:
    """Digests of every source file that went in, by its path in the checkout, for the manifest."""
    return {
        f"{name}/{inner}".rstrip("/"): digest
        for name, path in bake.ingredients().items()
        for inner, digest in file_digests(path).items()
    }


def role_options(repository: Path) -> dict[str, Any]:
    """Return every variable that a role takes, with its default.

    Raises:
        BakeError: a role's specification cannot be read.
    """
    found: dict[str, Any] = {}
    for path in sorted(repository.glob("roles/*/meta/argument_specs.yml")):
        try:
            options = yaml.safe_load(path.read_text())["argument_specs"]["main"].get("options") or {}
            found |= {name: option["default"] for name, option in options.items()}
        except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise BakeError(f"{path}: not an argument specification: {error}") from error
    return dict(sorted(found.items()))


def _without_places(name: str, value: str) -> str:
    """Leave out where files lie on this machine: what they are decides, and that is named by hash."""
    entries = json.loads(value)
    if name != "engine_weights" or not isinstance(entries, list):
        return value
    kept = [{k: v for k, v in e.items() if k != "folder"} if isinstance(e, dict) else e for e in entries]
    return json.dumps(kept, sort_keys=True)


def _claim(workdir: Path) -> Path:
    return workdir.with_name(f"{workdir.name}.owner")


def _holder(claim: Path) -> int | None:
    """Say which living process holds a claim. A number that a later process was given does not count."""
    pid, _, born = claim.read_text().partition(" ")
    return int(pid) if pid.isdigit() and born and _born(int(pid)) == born else None


def _born(pid: int) -> str:
    try:
        # proc(5): the 22nd field, counted after the name, which may hold blanks.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""

"""The tables of the configuration, each the shape of one concern; ``model.py`` puts them together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from devpod_rp.spec import persist

EditorServers = Literal["auto", "linked", "archived"]
HookStage = Literal["on_create", "update_content", "post_create", "post_start", "post_attach"]
OnPreempt = Literal["wait", "on-demand"]
SyncMode = Literal["one-way-safe", "two-way-safe", "one-way-replica"]
VolumeKind = Literal["disk", "network", "none"]

_SMALLEST_VOLUME_GB = 10


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class VolumeSpec(Part):
    """The storage that survives a stop: a volume *disk* of the host, a *network* volume, or *none*.

    *shared* allows a network volume that another pod writes to as well.
    """

    kind: VolumeKind = "disk"
    size_gb: Annotated[int, Field(ge=_SMALLEST_VOLUME_GB, le=4096)] = 50
    name: str | None = None
    path: str = "/workspace"
    shared: bool = False

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if not path.startswith("/") or path.rstrip("/") == "" or ".." in path.split("/"):
            raise ValueError("must be an absolute path on the pod, such as /workspace")
        return path.rstrip("/")


class SyncSpec(Part):
    """How the project folder and the pod's workspace are kept in agreement.

    *bandwidth_mb_s* is the most that is sent, and the most that is fetched, in 10^6 bytes per second; None: no limit.
    """

    enabled: bool = True
    mode: SyncMode = "one-way-safe"
    ignore: tuple[str, ...] = ()
    bandwidth_mb_s: Annotated[float, Field(ge=0.05)] | None = None


class SpotSpec(Part):
    """Renting by bid: up to 90 % cheaper, and ended by the market whenever somebody pays more.

    *bid* is USD per hour for one GPU; without one it is a tenth above the lowest bid that gets a pod, and never more
    than the on-demand price. When the pod is outbid, *hook* runs on it (a shell command, two seconds), and the keeper
    brings it back: *on_preempt* says whether it waits for the same bid or pays for on-demand.
    """

    enabled: bool = False
    bid: Annotated[float, Field(gt=0)] | None = None
    on_preempt: OnPreempt = "wait"
    hook: str | None = None


class GuardSpec(Part):
    """What the guard is told about this project: path patterns for files on the container disk.

    What matches *precious* is at risk whatever the guard's own table says of it; what matches *ignore*, and is not
    precious, is no loss. `*` stays within one name, `**` crosses directories, `~` is the home of any user.
    """

    precious: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    @field_validator("precious", "ignore")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not pattern.startswith(("/", "~/", "**/")):
                raise ValueError(f"{pattern!r} must begin with /, ~/ or **/, such as ~/data/** or **/*.ckpt")
            if {".", ".."} & set(pattern.split("/")) or "//" in pattern:
                raise ValueError(f"{pattern!r} can match no path: write it without . and .. and //")
            if pattern.endswith("/"):
                raise ValueError(f"{pattern!r} matches no file: write {pattern}** for everything below it")
        return patterns

    @field_validator("ignore")
    @classmethod
    def _not_everything(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not pattern.strip("/*~"):
                raise ValueError(f"{pattern!r} would ignore everything; stop --force gives everything up, once")
        return patterns


class PersistSpec(Part):
    """What of the container disk lives on the volume and is linked back at every start of the pod.

    *paths* begin with ``/`` or ``~/``; a folder ends with ``/``. *defaults*: also what `devpod_rp.spec.persist` lists,
    and the caches of Hugging Face, torch, pip and uv, unless ``env`` puts them elsewhere. *editors*: whether what
    desktop editors install runs from the volume (linked) or from the container disk, with an archive on the volume
    (archived); auto archives on a network volume that is slow with small files, or has no working locks. *replay*:
    whether what was installed in the last container is installed in the next one; "ask" does so at a terminal only.
    What *archive* names, and with *venvs* each virtual environment, stays on the fast container disk, goes to the
    volume as one archive at a stop and is put back at the next start.
    """

    defaults: bool = True
    editors: EditorServers = "auto"
    paths: tuple[str, ...] = ()
    archive: tuple[str, ...] = ()
    venvs: bool = False
    replay: bool | Literal["ask"] = "ask"

    @field_validator("paths", "archive")
    @classmethod
    def _plain(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(persist.checked(path) for path in paths)

    @property
    def wanted(self) -> tuple[str, ...]:
        """All paths, each once; what the project says of one goes before."""
        defaults = persist.PATHS if self.defaults else ()
        return tuple({path.rstrip("/"): path for path in (*defaults, *self.paths)}.values())


class CodeServerSpec(Part):
    """Where the VS Code for browsers comes from, if not from its own release page: a mirror, or another build.

    *url* is that of a ``.tar.gz`` as coder/code-server releases them, *sha256* its digest; without one, the archive
    must be the released one that we pinned.
    """

    url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


class DotfilesSpec(Part):
    """How the user likes a machine: a git repository whose script is run on every new container disk.

    *repository* is a URL, or ``owner/name`` for one on GitHub; *install* is the script in it, by default the first of
    those that GitHub Codespaces looks for. Without a script its dotfiles are linked into the home.
    """

    repository: Annotated[str, Field(pattern=r"^[\w./~][^\s\x00]*$")] | None = None
    install: Annotated[str, Field(pattern=r"^[\w.][^\x00]*$")] | None = None


class HooksSpec(Part):
    """Shell commands on the pod, in the project's folder; those of one stage run side by side.

    The first three run once for each new container disk, as what they install dies with it; *post_start* once for each
    start of the pod, *post_attach* at every ``up``. ``up`` waits until *wait_for* is done.
    """

    on_create: tuple[str, ...] = ()
    update_content: tuple[str, ...] = ()
    post_create: tuple[str, ...] = ()
    post_start: tuple[str, ...] = ()
    post_attach: tuple[str, ...] = ()
    wait_for: HookStage = "update_content"

"""What exists, what state it is in and what it costs: the data behind ``list`` and ``status``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devpod_rp import control, environments, paths
from devpod_rp.environments import Environment
from devpod_rp.errors import DevpodError
from devpod_rp.lifecycle import limits
from devpod_rp.lifecycle.account import clouds, ownership, provision
from devpod_rp.lifecycle.furnishing import disks
from devpod_rp.lifecycle.money import bills
from devpod_rp.lifecycle.money import runway as runways
from devpod_rp.lifecycle.reach import address, hosts, syncing
from devpod_rp.progress import Progress, silent

if TYPE_CHECKING:
    from devpod_rp.lifecycle.money.bills import Cost
    from devpod_rp.lifecycle.money.runway import Runway
    from devpod_rp.runpod.client import RunPod
    from devpod_rp.runpod.model import Pod


# What a keeper's status tells beside the synchronisation.
_NOT_SYNC = ("limits", "money", "at_risk", "forwards")


@dataclass(frozen=True)
class StrangerPod:
    """A pod of the account that no environment here owns.

    *made_here* tells one that this installation made and has no record of any more from one made elsewhere.
    """

    id: str
    name: str
    status: str
    cost_per_hour: float
    cloud: str
    created_at: str | None
    made_here: bool

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Overview:
    """Every environment with its present state; *unreachable* names clouds that did not answer, with the reason."""

    environments: tuple[Environment, ...]
    strangers: tuple[StrangerPod, ...]
    unreachable: dict[str, str]
    accounts: dict[str, Runway]

    @property
    def cost_per_hour(self) -> float:
        """USD per hour of everything that runs, owned or not."""
        owned = sum(each.cost_per_hour or 0.0 for each in self.environments)
        return round(owned + sum(each.cost_per_hour for each in self.strangers), 4)

    def as_json(self) -> dict[str, Any]:
        return {
            "environments": [describe(each, sync_status(each)) for each in self.environments],
            "unowned_pods": [each.as_json() for each in self.strangers],
            "cost_per_hour": self.cost_per_hour,
            "unreachable": self.unreachable,
            "accounts": {cloud: runway.as_json() for cloud, runway in self.accounts.items()},
        }


def overview(cloud: str | None = None, progress: Progress = silent, *, everything: bool = False) -> Overview:
    """Look at every environment and at every pod of the clouds in use; settles what interrupted commands left.

    With *everything* also at a cloud that no environment is in. A cloud that does not answer does not hide the rest.
    The local cloud is started only if an environment lives there.
    """
    seen: list[Environment] = []
    strangers: list[StrangerPod] = []
    unreachable: dict[str, str] = {}
    accounts: dict[str, Runway] = {}
    known = environments.all_environments()
    for name in _clouds_in_use(known, cloud, everything=everything):
        mine = [each for each in known if each.cloud == name]
        try:
            with clouds.client(clouds.choose(name)) as client:
                settled = [_settled(each, client, progress) for each in mine]
                pods = [pod for pod in client.list_pods() if provision.is_live(pod)]
                named = {pod.name for pod in pods}
                # A request that was under way when its command was killed may have become a pod since we looked.
                settled = [_settled(each, client, progress) if each.pod_name in named else each for each in settled]
                seen.extend(address.observe(each, client) for each in settled)
                owned = {each.pod_id for each in seen}
                strangers.extend(_stranger(pod, name) for pod in pods if pod.id not in owned)
                accounts[name] = bills.runway_of(client)
        except DevpodError as error:
            unreachable[name] = error.message
            seen.extend(each for each in mine if each.name not in {other.name for other in seen})
    return Overview(tuple(sorted(seen, key=lambda each: each.name)), tuple(strangers), unreachable, accounts)


def look_at(environment: Environment, progress: Progress = silent) -> Environment:
    """The record of one environment brought up to date with its cloud, leftovers of interrupted commands settled."""
    with clouds.client_of(environment) as client:
        current = address.observe(_settled(environment, client, progress), client)
    hosts.refresh_hosts()
    return current


def money_of(environment: Environment) -> tuple[Cost, Runway]:
    """What *environment* costs and has cost, by the bills where they can be read, and how long the money lasts."""
    try:
        with clouds.client_of(environment) as client:
            return bills.cost_of(environment, client), bills.runway_of(client)
    except DevpodError as error:
        return bills.cost_of(environment), runways.runway(None, 0.0, (), unknown=error.message)


def sync_status(environment: Environment) -> dict[str, Any]:
    """The synchronisation as the keeper sees it, or as its journal left it if none runs."""
    kept = _kept(environment.name)
    if not environment.spec["sync"]["enabled"]:
        disabled = {"state": "disabled", "mode": environment.spec["sync"]["mode"]}
        return disabled if kept is None else {**disabled, "forwards": kept["forwards"]}
    return syncing.journal_status(environment) if kept is None else kept


def _kept(name: str) -> dict[str, Any] | None:
    """What the keeper says of itself; None if none answers."""
    if not control.keeper_running(name):
        return None
    try:
        return control.keeper_request(name, "status")
    except (control.KeeperNotRunning, control.KeeperSilent):
        return None  # it has ended since, as it does when the pod is stopped


def describe(environment: Environment, sync: dict[str, Any], cost: Cost | None = None) -> dict[str, Any]:
    """The stable JSON form of one environment, as ``up`` and ``status`` print it; *cost* is our own ledger's if None.

    The limits' *watchdog* is what it saw and decided last, null while no keeper is in touch with it; so is *at_risk*,
    ``{files, bytes, checked_at}``: what a stop would destroy, as a keeper saw it last. *kept_disk* is what a stop from
    here kept last of the container disk, null where that is neither wished nor done.
    """
    ssh = environment.ssh
    return {
        "name": environment.name,
        "cloud": environment.cloud,
        "pod_id": environment.pod_id,
        "status": environment.status,
        "ssh_host": environment.host_alias,
        "ssh": {
            "host": ssh.host if ssh else None,
            "port": ssh.port if ssh else None,
            "user": ssh.user if ssh else None,
            "identity_file": str(paths.ssh_identity()),
            "config_file": str(paths.ssh_hosts_file()),
        },
        "folder": environment.folder,
        "workspace": environment.workspace,
        "gpu": environment.gpu,
        "cost_per_hour": environment.cost_per_hour,
        "cost": (cost or bills.cost_of(environment)).as_json(),
        "limits": {
            **limits.limits_of(environment)._asdict(),
            "watchdog": sync.get("limits"),
            "stopped_because": limits.why_stopped(environment),
        },
        "volume": dict(vars(environment.volume)),
        "at_risk": sync.get("at_risk"),
        "kept_disk": disks.last_kept(environment),
        "sync": {key: value for key, value in sync.items() if key not in _NOT_SYNC},
        "forwards": sync.get("forwards") or [each.as_json() for each in environments.read_forwards(environment.name)],
        "half_made": environment.half_made,
        "simulated": environment.cloud == "local",
    }


def _clouds_in_use(known: list[Environment], cloud: str | None, *, everything: bool) -> list[str]:
    if cloud:
        return [cloud]
    used = {each.cloud for each in known}
    if clouds.default_name() == "runpod":
        used.add("runpod")
    if (everything or clouds.default_name() == "local") and clouds.local_cloud_running():
        used.add("local")
    return sorted(used)


def _settled(environment: Environment, client: RunPod, progress: Progress) -> Environment:
    """Settle an intent unless the command that wrote it is still at work."""
    if environments.read_intent(environment.name) is None or environments.holder_of(environment.name) is not None:
        return environment
    with environments.locked(environment.name):
        return provision.settle(environments.load(environment.name), client, progress)


def _stranger(pod: Pod, cloud: str) -> StrangerPod:
    return StrangerPod(
        id=pod.id,
        name=pod.name,
        status=str(pod.status.value),
        cost_per_hour=pod.cost,
        cloud=cloud,
        created_at=pod.created_at,
        made_here=ownership.made_here(pod),
    )

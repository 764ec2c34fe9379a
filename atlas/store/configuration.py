"""The managed server's neo4j.conf and its memory, sized to this machine or container."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
HEAP_SHARE, HEAP_LEAST, HEAP_MOST = 16, 512, 2048
CACHE_SHARE, CACHE_LEAST, CACHE_MOST = 8, 256, 4096
CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
UNITS = {"k": 1024, "m": MIB, "g": 1024 * MIB}


@dataclass(frozen=True)
class Memory:
    """Sizes in MiB."""

    heap: int
    page_cache: int


@dataclass(frozen=True)
class Ports:
    """Loopback ports of the managed server."""

    bolt: int
    http: int


def plan_memory(limit: int, *, heap: str | None = None, page_cache: str | None = None) -> Memory:
    """Heap = limit/16 within 512 MiB to 2 GiB, page cache = limit/8 within 256 MiB to 4 GiB.

    Parameters
    ----------
    limit : memory that may be used, in bytes.
    heap, page_cache : overrides such as "768m" or "2g".
    """
    share = limit // MIB
    return Memory(
        heap=_mebibytes(heap) if heap else min(max(share // HEAP_SHARE, HEAP_LEAST), HEAP_MOST),
        page_cache=(
            _mebibytes(page_cache) if page_cache else min(max(share // CACHE_SHARE, CACHE_LEAST), CACHE_MOST)
        ),
    )


def memory_limit(
    total: int, *, root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> int:
    """The least of `total` (bytes of RAM) and the limits of this process's control groups, version 1 or 2."""
    limits = [total]
    for line in own.read_text(encoding="ascii").splitlines() if own.is_file() else []:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            limits += _limits(root, root / path.lstrip("/"), "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits(root / "memory", root / "memory" / path.lstrip("/"), "memory.limit_in_bytes")
    return min(limits)


def server_configuration(memory: Memory, ports: Ports) -> str:
    """neo4j.conf: loopback only, no file or network for Cypher, no telemetry, quick to stop, small."""
    # A single transaction may fill half the heap: the server itself keeps to 70 % for all of them together.
    transaction = min(512, memory.heap // 2)
    settings = {
        "server.config.strict_validation.enabled": "true",
        "server.default_listen_address": "127.0.0.1",
        "server.default_advertised_address": "127.0.0.1",
        "server.bolt.listen_address": f"127.0.0.1:{ports.bolt}",
        "server.bolt.advertised_address": f"127.0.0.1:{ports.bolt}",
        "server.http.listen_address": f"127.0.0.1:{ports.http}",
        "server.http.advertised_address": f"127.0.0.1:{ports.http}",
        "server.https.enabled": "false",
        "dbms.security.http_access_control_allow_origin": f"http://127.0.0.1:{ports.http}",
        "server.memory.heap.initial_size": f"{memory.heap}m",
        "server.memory.heap.max_size": f"{memory.heap}m",
        "server.memory.pagecache.size": f"{memory.page_cache}m",
        "db.memory.transaction.max": f"{transaction}m",
        "db.transaction.timeout": "30s",
        "db.tx_log.preallocate": "false",
        "db.tx_log.rotation.retention_policy": "256M size",
        "db.logs.query.enabled": "OFF",
        "server.directories.import": "import",
        "dbms.security.allow_csv_import_from_file_urls": "false",
        "internal.dbms.cypher_ip_blocklist": "0.0.0.0/0,::/0",
        "dbms.security.procedures.allowlist": "db.*,dbms.components",
        "dbms.usage_report.enabled": "false",
        "client.allow_telemetry": "false",
        "browser.remote_content_hostname_whitelist": "localhost",
        # Without it Browser draws every edge between the nodes of an answer, thousands where a query gave ten.
        "browser.post_connect_cmd": "config autoComplete: false",
        "internal.server.bolt.thread_pool_shutdown_wait_time": "0s",
        "internal.server.bolt.connection_shutdown_wait_time": "0s",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _mebibytes(size: str) -> int:
    return max(1, int(size[:-1]) * UNITS[size[-1].lower()] // MIB)


def _limits(top: Path, leaf: Path, name: str) -> list[int]:
    """Limits from `leaf` up to `top`; in a container the leaf may be out of sight, then only `top` counts."""
    found = []
    for folder in (leaf, *leaf.parents):
        text = (folder / name).read_text(encoding="ascii").strip() if (folder / name).is_file() else ""
        if text.isdigit():
            found.append(int(text))
        if folder == top:
            break
    return found

"""Neo4j's jars: fetched once from Maven's default repository, checked against sums kept with this code."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

from filelock import FileLock, Timeout

from atlas.errors import BusyError, StoreError
from atlas.store.files import disk_errors
from atlas.store.settings import Settings

NEO4J_VERSION = "5.26.30"
BROWSER_VERSION = "5.24.0"
COORDINATES = (
    f"org.neo4j:neo4j:jar:{NEO4J_VERSION}:compile",
    f"org.neo4j.app:neo4j-server:jar:{NEO4J_VERSION}:compile",
    f"org.neo4j:neo4j-slf4j-provider:jar:{NEO4J_VERSION}:compile",
    f"org.neo4j:neo4j-import-tool:jar:{NEO4J_VERSION}:compile",
    f"org.neo4j.client:neo4j-browser:jar:{BROWSER_VERSION}:compile",
)
AIR_GAP = "check the network, or point ATLAS_NEO4J_LIB at a folder that holds the jars"

Notify = Callable[[str], None]
Fetch = Callable[[Path], list[Path]]


def known_sums() -> dict[str, str]:
    """File name → SHA-256 in hex, of every jar the server needs."""
    lines = resources.files("atlas.store").joinpath("jars.sha256").read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def ensure_jars(settings: Settings, notify: Notify | None = None) -> Path:
    """The flat folder of verified jars, fetched on first use.

    `ATLAS_NEO4J_LIB`, where set, is used as it is (it must hold this version's server). Otherwise the folder
    lies in the cache; it appears there by one rename, after every name and sum was right.

    Raises
    ------
    StoreError : no network, a jar missing or altered, or the wrong version in `ATLAS_NEO4J_LIB`.
    BusyError : another process has been fetching for more than twenty minutes.
    DiskError : the cache is full or cannot be written.
    """
    if settings.atlas_neo4j_lib is not None:
        return _at_hand(settings.atlas_neo4j_lib)
    folder = settings.atlas_cache / f"neo4j-{NEO4J_VERSION}"
    if _complete(folder):
        return folder
    with disk_errors(settings.atlas_cache):
        settings.atlas_cache.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(settings.atlas_cache / "jars.lock", timeout=1200):
                if not _complete(folder):
                    if notify is not None:
                        notify(f"Fetching Neo4j {NEO4J_VERSION} (156 MB, once) into {folder}")
                    install(folder, fetch_with_jgo)
        except Timeout:
            raise BusyError(
                "another process is still fetching Neo4j's jars",
                where=settings.atlas_cache,
                next_step="wait for it, or end it and run the command again",
            ) from None
    return folder


def present(settings: Settings) -> Path | None:
    """The folder of jars that a start would use without fetching, None where there is none."""
    folder = settings.atlas_neo4j_lib or settings.atlas_cache / f"neo4j-{NEO4J_VERSION}"
    complete = folder.is_dir() if settings.atlas_neo4j_lib is not None else _complete(folder)
    return folder if complete else None


def install(folder: Path, fetch: Fetch) -> None:
    """Fetch into `folder`'s neighbourhood, verify, and rename into place; resumes what an earlier try left.

    Raises
    ------
    StoreError : the set of names, or a sum, differs from `jars.sha256`; the altered files are removed.
    """
    downloads = folder.with_name(f"{folder.name}.downloads")
    downloads.mkdir(parents=True, exist_ok=True)
    jars = {path.name: path for path in fetch(downloads)}
    _verify(jars)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for path in jars.values():
            path.replace(beside / path.name)
        if folder.exists():
            shutil.rmtree(folder)
        beside.chmod(0o755)
        beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    shutil.rmtree(downloads, ignore_errors=True)


def fetch_with_jgo(downloads: Path) -> list[Path]:
    """Resolve `COORDINATES` with jgo (no Maven, no JDK) and download their jars under `downloads`."""
    try:
        from jgo.maven import MavenContext, ProfileConstraints, PythonResolver
    except ImportError:
        raise missing_extra("jgo") from None
    # One platform for everyone: the set of jars must not depend on who asks.
    constraints = ProfileConstraints(os_name="Linux", os_family="unix", os_arch="amd64")
    context = MavenContext(
        resolver=PythonResolver(profile_constraints=constraints), repo_cache=downloads, timeout=30
    )
    try:
        wanted = [context.create_dependency(coordinate) for coordinate in COORDINATES]
        inputs, transitive = context.resolver.resolve(wanted)
        needed = [*inputs, *(found for found in transitive if found.scope in ("compile", "runtime"))]
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda dependency: Path(dependency.artifact.resolve()), needed))
    except (OSError, RuntimeError, ValueError, SyntaxError) as error:
        # A download that was cut leaves a short descriptor behind, which would fail every later try alike.
        for descriptor in downloads.rglob("*.pom"):
            descriptor.unlink()
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise StoreError(
            f"Neo4j's jars cannot be fetched, saying {str(error)[:160]!r}", next_step=AIR_GAP
        ) from error


def missing_extra(module: str) -> StoreError:
    """The error for a module of the extra `server` that is not installed."""
    return StoreError(
        f"the managed server needs the package {module}",
        next_step="install the extra: pip install 'circuit-atlas[server]', or set NEO4J_URI",
    )


def _at_hand(folder: Path) -> Path:
    server = f"neo4j-server-{NEO4J_VERSION}.jar"
    if not (folder / server).is_file():
        raise StoreError(
            "ATLAS_NEO4J_LIB does not hold Neo4j's jars",
            where=folder,
            expected=server,
            got="none" if folder.is_dir() else "no such folder",
            next_step=f"point it at the lib folder of Neo4j {NEO4J_VERSION}, or unset it to fetch the jars",
        )
    return folder


def _complete(folder: Path) -> bool:
    return folder.is_dir() and {entry.name for entry in os.scandir(folder)} == known_sums().keys()


def _verify(jars: dict[str, Path]) -> None:
    expected = known_sums()
    if jars.keys() != expected.keys():
        odd = sorted(jars.keys() ^ expected.keys())
        raise StoreError(
            "the set of Neo4j's jars is not the expected one",
            where=odd[0],
            expected=f"{len(expected)} jars",
            got=f"{len(jars)}, {len(odd)} of them unexpected or missing",
            next_step=AIR_GAP,
        )
    altered = [name for name, path in sorted(jars.items()) if _sum(path) != expected[name]]
    for name in altered:
        jars[name].unlink()
    if altered:
        raise StoreError(
            "a jar is not the one this version was released with",
            where=altered[0],
            expected=f"SHA-256 {expected[altered[0]][:16]}…",
            got=f"another one ({len(altered)} altered or cut short)",
            next_step="run the command again to fetch it anew",
        )


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

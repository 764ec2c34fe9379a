"""docs/cluster.md: what it tells to type exists, and its parts fit each other."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import typer
import yaml

from atlas.cli.app import app

PAGE = (Path(__file__).parents[3] / "docs" / "cluster.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def objects() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(blocks("yaml")[0]))


def pods() -> dict[str, dict[str, Any]]:
    return {
        str(item["metadata"]["name"]): item["spec"]["template"]["spec"]
        for item in objects()
        if "template" in item["spec"]
    }


def commands() -> list[list[str]]:
    """All `atlas …` commands of the page."""
    joined = PAGE.replace("\\\n", " ")
    lines = [line.strip().removesuffix("`.") for line in joined.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("atlas ")]


def test_every_option_is_one_of_the_command_line() -> None:
    group = typer.main.get_command(app)
    found = commands()
    assert len(found) == 3
    for _, name, *words in found:
        known = {option for parameter in group.commands[name].params for option in parameter.opts}  # type: ignore[attr-defined]
        assert {word for word in words if word.startswith("--")} <= known


def test_the_scripts_are_whole() -> None:
    for block in blocks("sh"):
        done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    assert blocks("sh")[2].startswith("#!/bin/bash\n#SBATCH")


def test_the_objects_fit_each_other() -> None:
    kinds = {str(item["kind"]): item for item in objects()}
    assert set(kinds) == {"PersistentVolumeClaim", "Service", "Deployment", "Job"}
    claim = kinds["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in pods().values():
        (container,) = pod["containers"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert mounted.keys() == volumes.keys()
        assert volumes["files"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        environment = {entry["name"]: entry for entry in container["env"]}
        assert environment["ATLAS_HOME"]["value"].startswith(mounted["files"] + "/")
        assert environment["RAY_USAGE_STATS_ENABLED"]["value"] == "0"
        assert environment["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == "atlas-ray"
    assert "secret generic atlas-ray --from-literal=token=" in PAGE
    service = kinds["Service"]
    head = kinds["Job"]["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == head
    port = service["spec"]["ports"][0]["port"]
    assert (
        f"--address={service['metadata']['name']}:{port}"
        in pods()["atlas-workers"]["containers"][0]["command"]
    )
    assert f"--port={port}" in pods()["atlas-ingest"]["containers"][0]["command"][-1]
    workers = kinds["Deployment"]["spec"]
    assert workers["selector"]["matchLabels"] == workers["template"]["metadata"]["labels"]

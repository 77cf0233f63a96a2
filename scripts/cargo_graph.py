"""What `cargo metadata` says of the locked dependency graph, for the scripts beside this file."""

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def packages():
    """All packages of the lock file, workspace members first; each as `cargo metadata` gives it, with `member` added."""
    done = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE,
    )
    graph = json.loads(done.stdout)
    members = set(graph["workspace_members"])
    for package in graph["packages"]:
        package["member"] = package["id"] in members
    return sorted(graph["packages"], key=lambda p: (not p["member"], p["name"], version(p["version"])))


def version(text):
    """A version as a tuple that compares; a pre-release counts as its release."""
    return tuple(int(part) for part in text.split("+")[0].split("-")[0].split("."))

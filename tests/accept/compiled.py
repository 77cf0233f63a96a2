"""Small C programs of the harness, compiled into `.accept` when they are newer than what is there."""

import pathlib
import subprocess

from report import KEPT

HERE = pathlib.Path(__file__).parent


def _compile(source, name, options):
    path = KEPT / name
    if not path.exists() or path.stat().st_mtime < (HERE / source).stat().st_mtime:
        KEPT.mkdir(exist_ok=True)
        # Under another name until it is whole: two lines may need it at once.
        half = path.with_suffix(".half")
        subprocess.run(["cc", "-O2", "-Wall", *options, "-o", half, HERE / source, "-ldl"], check=True)
        half.rename(path)
    return path


def program(source):
    """A program of that source file."""
    return _compile(source, source.removesuffix(".c"), [])


def shared(source):
    """A library to be preloaded."""
    return _compile(source, source.removesuffix(".c") + ".so", ["-shared", "-fPIC"])

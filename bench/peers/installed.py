"""Installs the peers below the target directory, once, and says how they are started."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FLINK, SPARK = "2.3.0", "4.3.0"


def say(text):
    print(f"== {text}", file=sys.stderr, flush=True)


def place():
    """Returns where peers and their input are kept."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target"))
    kept = target.resolve() / "bench-peers"
    kept.mkdir(parents=True, exist_ok=True)
    return kept


def install(name, *packages):
    """Makes an environment with these packages, once; returns where its packages are."""
    environment = place() / name
    done = environment / "installed"
    if not done.exists():
        say(f"installing {' '.join(packages)} into {environment}")
        shutil.rmtree(environment, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        pip = [environment / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True, stdout=sys.stderr)
        done.touch()
    return next(environment.glob("lib/python*/site-packages"))


def flink_command(program, memory):
    """Returns the command that runs a program of this folder on Flink, all of it in one JVM; the jars are
    those that PyFlink brings along."""
    packages = install("flink", "--no-deps", f"apache-flink=={FLINK}", f"apache-flink-libraries=={FLINK}")
    jars, classes = f"{packages}/pyflink/lib/*", place() / "flink-classes"
    source, compiled = HERE / f"{program}.java", classes / f"{program}.class"
    if not compiled.exists() or compiled.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["javac", "-cp", jars, "-d", classes, source], check=True)
    modules = ["util", "lang", "nio", "net", "time"]
    opens = [f"--add-opens=java.base/java.{module}=ALL-UNNAMED" for module in modules]
    return ["java", f"-Xmx{memory}", *opens, "-cp", f"{classes}:{jars}", program]


def spark_python():
    """Returns the Python that has Spark."""
    install("spark", f"pyspark=={SPARK}")
    return place() / "spark/bin/python"

"""CPU-seconds of processes: of a living tree, and of a child from start to end with all below it."""

import ctypes
import os
import resource
import signal
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36


def tree_cpu_seconds(root):
    """Returns user and system time of process `root` and all below it, ended children included."""
    parents, ticks = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(name)] = int(fields[1])
            ticks[int(name)] = sum(map(int, fields[11:15]))
    total = 0
    for process, used in ticks.items():
        above = process
        while above not in (root, 0) and above in parents:
            above = parents[above]
        total += used if above == root else 0
    return total / TICKS


def used_by_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(command, timeout_seconds, **options):
    """Runs `command` to its end, and whatever it leaves behind too.

    Returns its output, CPU-seconds (user and system) of the whole tree, and seconds by the clock.
    A process whose parent ended falls to us and not to init, so nothing that was started is
    left out of the sum.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    cpu, began = used_by_children(), time.monotonic()
    child = subprocess.run(command, stdout=subprocess.PIPE, timeout=timeout_seconds, check=False,
                           text=True, **options)
    wall = time.monotonic() - began
    wait_for_orphans(time.monotonic() + 20)
    if child.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {child.returncode}\n{child.stdout}")
    return child.stdout, used_by_children() - cpu, wall


def wait_for_orphans(until):
    """Waits for processes that fell to us; those that live on after `until` are ended."""
    while True:
        try:
            process, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if process == 0:
            if time.monotonic() > until:
                for child in children():
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.05)


def children():
    """Returns the processes directly below us."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as listed:
        return [int(child) for child in listed.read().split()]

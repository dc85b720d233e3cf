#!/usr/bin/env python3
"""Folds the output of a query to its final content, and compares it with what is expected.

    thalweg run … --output json | python3 examples/fold.py
    python3 examples/fold.py output/word-count
    python3 examples/fold.py output/word-count --expect examples/word-count/expected.json

Reads JSON rows, one a line, of three kinds, told apart by their fields:
  {"before": …, "after": …, "op": …}   debezium-json: `before` is taken away, `after` added
  {"op": "+I", …}                      a row of an updating result: +I and +U add, -U and -D remove
  anything else                        a row of an append-only result
What is left is written one row a line, in the order of its text. A row that is taken away and was
never there is an error: that can only be a defect.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path


def changes(row):
    """Returns the (row, weight) pairs that a line stands for."""
    if "op" in row and "before" in row and "after" in row:
        return [(side, weight) for side, weight in ((row["before"], -1), (row["after"], 1)) if side]
    if row.get("op") in ("+I", "+U", "-U", "-D"):
        rest = {name: value for name, value in row.items() if name != "op"}
        return [(rest, 1 if row["op"].startswith("+") else -1)]
    return [(row, 1)]


def fold(lines):
    """Returns the final rows as texts, sorted, each as often as it stands there."""
    content = Counter()
    for line in lines:
        if line.strip():
            for row, weight in changes(json.loads(line)):
                content[json.dumps(row, ensure_ascii=False, separators=(",", ":"))] += weight
    negative = [row for row, count in content.items() if count < 0]
    if negative:
        sys.exit(f"fold.py: removed, and never there: {negative[0]}")
    return sorted(content.elements())


def published(folder):
    """Returns the lines of all visible files of a folder, in the order of their names."""
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and not path.name.startswith((".", "_")):
            yield from path.read_text(encoding="utf-8").splitlines()


def difference(found, expected):
    """Prints the first rows that are too many or too few; returns how many there are."""
    extra, missing = Counter(found) - Counter(expected), Counter(expected) - Counter(found)
    for sign, rows in (("too many:", extra), ("missing: ", missing)):
        for row in sorted(rows)[:5]:
            print(f"  {sign} {row}  ({rows[row]}x)", file=sys.stderr)
    return sum(extra.values()) + sum(missing.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("place", nargs="?", help="file or folder of the output; else standard input")
    parser.add_argument("--expect", help="file with the rows that there should be")
    arguments = parser.parse_args()
    if arguments.place is None:
        rows = fold(sys.stdin)
    elif not Path(arguments.place).exists():
        sys.exit(f"fold.py: there is no {arguments.place}")
    elif Path(arguments.place).is_dir():
        rows = fold(published(arguments.place))
    else:
        rows = fold(Path(arguments.place).read_text(encoding="utf-8").splitlines())
    if arguments.expect is None:
        print("".join(row + "\n" for row in rows), end="")
        return
    expected = sorted(Path(arguments.expect).read_text(encoding="utf-8").splitlines())
    wrong = difference(rows, expected)
    if wrong:
        sys.exit(f"fold.py: {wrong} rows differ from {arguments.expect}")
    print(f"{len(rows)} rows, as expected")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Serves the lines of a file to the first client that connects: `nc -l`, with a speed.

    python3 feed.py lines.txt                          as fast as they are taken, at port 9999
    python3 feed.py lines.txt --lines-per-second 100   so that there is something to watch
    python3 feed.py lines.txt --port 0                 at a free port, which is printed

It ends when all lines are sent, and closes the connection; that is the end of the input.
"""

import argparse
import socket
import sys
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="text to serve; - reads standard input")
    parser.add_argument("--port", type=int, default=9999, help="0 takes a free one")
    parser.add_argument("--lines-per-second", type=float, help="as fast as possible unless given")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for a client")
    arguments = parser.parse_args()
    server = socket.create_server(("127.0.0.1", arguments.port))
    server.settimeout(arguments.timeout)
    print(server.getsockname()[1], flush=True)
    try:
        client, _ = server.accept()
    except TimeoutError:
        sys.exit(f"feed.py: nobody connected within {arguments.timeout:g} s")
    lines = sys.stdin.buffer if arguments.file == "-" else open(arguments.file, "rb")
    began, sent = time.monotonic(), 0
    with client, lines:
        for line in lines:
            client.sendall(line)
            sent += 1
            if arguments.lines_per_second:
                ahead = began + sent / arguments.lines_per_second - time.monotonic()
                time.sleep(max(0.0, ahead))
    print(f"feed.py: sent {sent} lines", file=sys.stderr)


if __name__ == "__main__":
    main()

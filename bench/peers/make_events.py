#!/usr/bin/env python3
"""Writes the events of Nexmark as lines of JSON, by the rules of the public generator.

    make_events.py FOLDER --bids 2000000 --files 2

Of 50 events one is a person, three are auctions and 46 are bids, 10,000 events in a second of event
time; each sort goes to a folder of its own: person, auction, bid. Half the bids go to the newest hot
auction, three quarters come from the newest hot bidder. Each event is drawn from its own number, so the
content does not depend on the number of files; each file is one stretch of time, and the files follow
each other by name.
"""

import argparse
import json
import random
from pathlib import Path

FIRST_ID = 1000
HOT = 100
AUCTIONS_IN_FLIGHT, PEOPLE_ACTIVE = 100, 1000
CHANNELS = ["Google", "Facebook", "Baidu", "Apple"]
BASE_MS = 1_767_225_600_000  # 2026-01-01 00:00:00
LETTERS = "abcdefghijklmnopqrstuvwxyz"
CATEGORIES = 5
STATES = ["AZ", "CA", "ID", "OR", "WA", "WY"]
CITIES = ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle"]
NAMES = ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"]


def stamp(milliseconds):
    """Writes milliseconds since 1970 in January 2026 as SQL does."""
    since = milliseconds - BASE_MS
    seconds, rest = divmod(since, 1000)
    days, seconds = divmod(seconds, 86_400)
    return (f"2026-01-{1 + days:02d} {seconds // 3600:02d}:{seconds // 60 % 60:02d}:"
            f"{seconds % 60:02d}.{rest:03d}")


def bid(number):
    """Returns bid `number`, from 0."""
    rng = random.Random(number * 2_654_435_761 + 1)
    epoch, offset = divmod(number, 46)
    event = epoch * 50 + 4 + offset
    last_auction, last_person = epoch * 3 + 2, epoch
    if rng.random() < 0.5:
        auction = last_auction // HOT * HOT
    else:
        first = max(last_auction - AUCTIONS_IN_FLIGHT, 0)
        auction = first + int((last_auction - first + 1) * rng.random())
    if rng.random() < 0.75:
        bidder = last_person // HOT * HOT + 1
    else:
        active = min(last_person, PEOPLE_ACTIVE)
        bidder = last_person - active + int((active + 1) * rng.random())
    if rng.random() < 0.5:
        channel = CHANNELS[int(4 * rng.random())]
        url = f"https://www.nexmark.com/{channel.lower()}/item.htm?query=1"
    else:
        which = int(10_000 * rng.random())
        channel = f"channel-{which}"
        url = f"https://www.nexmark.com/item.htm?query=1&channel_id={which}"
    extra = "".join(LETTERS[int(26 * rng.random())] for _ in range(8)) * 4
    return {"auction": FIRST_ID + auction, "bidder": FIRST_ID + bidder,
            "price": int(10 ** (rng.random() * 6) * 100), "channel": channel, "url": url,
            "dateTime": stamp(BASE_MS + event // 10), "extra": extra}


def text(rng, length):
    """Returns so many random letters."""
    return "".join(LETTERS[int(26 * rng.random())] for _ in range(length))


def amount(rng):
    """Returns a price in cents, its logarithm evenly spread."""
    return int(10 ** (rng.random() * 6) * 100)


def person(number):
    """Returns person `number`, from 0."""
    rng = random.Random(number * 2_654_435_761 + 2)
    name = f"{NAMES[int(len(NAMES) * rng.random())]} {text(rng, 7)}"
    card = " ".join(f"{int(10_000 * rng.random()):04d}" for _ in range(4))
    return {"id": FIRST_ID + number, "name": name, "emailAddress": f"{text(rng, 7)}@{text(rng, 5)}.com",
            "creditCard": card, "city": CITIES[int(len(CITIES) * rng.random())],
            "state": STATES[int(len(STATES) * rng.random())],
            "dateTime": stamp(BASE_MS + number * 50 // 10), "extra": text(rng, 8) * 4}


def auction(number):
    """Returns auction `number`, from 0."""
    rng = random.Random(number * 2_654_435_761 + 3)
    epoch, offset = divmod(number, 3)
    opens = BASE_MS + (epoch * 50 + 1 + offset) // 10
    if rng.random() < 0.75:
        seller = epoch // HOT * HOT
    else:
        active = min(epoch, PEOPLE_ACTIVE)
        seller = epoch - active + int((active + 1) * rng.random())
    first = amount(rng)
    # About until as many later auctions have come as are in flight.
    open_ms = 1 + int(2 * AUCTIONS_IN_FLIGHT * 50 / 3 / 10 * rng.random())
    return {"id": FIRST_ID + number, "itemName": text(rng, 12), "description": text(rng, 40),
            "initialBid": first, "reserve": first + amount(rng), "dateTime": stamp(opens),
            "expires": stamp(opens + open_ms), "seller": FIRST_ID + seller,
            "category": 10 + int(CATEGORIES * rng.random()), "extra": text(rng, 8) * 4}


def write(folder, bids, files):
    """Writes the files, each under another name until it is whole."""
    epochs = -(-bids // 46)
    sorts = [("person", person, epochs), ("auction", auction, 3 * epochs), ("bid", bid, bids)]
    for name, event, count in sorts:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file in range(files):
            path = folder / name / f"{name}-{file:03d}.json"
            part = path.with_name(f".{path.name}")
            with part.open("w", encoding="utf-8") as out:
                for number in range(count * file // files, count * (file + 1) // files):
                    out.write(json.dumps(event(number), separators=(",", ":")) + "\n")
            part.rename(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bids", type=int, default=2_000_000)
    parser.add_argument("--files", type=int, default=2)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.bids, arguments.files)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes the sample data of the examples, and what each query must answer.

The answers are computed here, in a few lines of plain Python, and not by the engine: they are
what the tests compare with. The same seed gives the same bytes on every machine, so running this
again changes nothing:

    python3 examples/make_data.py
"""

import heapq
import json
import random
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
START = datetime(2026, 3, 2, 8, 0, 0)

WORDS = """water river stream bank bed channel current flood source mouth delta bridge ferry mill
weir lock barge pilot chart depth sand gravel stone reed willow heron otter trout pike eel rain
snow thaw spring summer autumn winter valley hill slope path field meadow village town harbour
boat oar rope anchor lamp night morning wind cloud storm calm deep shallow narrow wide slow
swift cold clear brown green line lowest along between over under toward beyond until""".split()

TOPICS = ["flood", "ferry", "harbour", "bridge", "regatta", "weather", "fishing", "festival",
          "traffic", "museum", "concert", "market"]
FILLERS = ["today", "again", "photos", "news", "help", "anyone", "queue", "open", "closed", "live"]


def pick(rng, items):
    """Draws an item, the earlier ones more often (by Zipf's law, about)."""
    return items[min(int(len(items) * rng.random() ** 2.2), len(items) - 1)]


def stamp(time):
    """Writes a time the way the engine reads and prints it: with milliseconds."""
    return time.strftime("%Y-%m-%d %H:%M:%S.") + f"{time.microsecond // 1000:03d}"


def floor(time, span):
    """Returns the start of the window of length `span` that holds `time`."""
    return datetime(1970, 1, 1) + (time - datetime(1970, 1, 1)) // span * span


def write_lines(path, lines):
    (HERE / path).write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def write_rows(path, rows):
    """Writes rows as JSON, one a line, as they come."""
    write_lines(path, (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows))


def write_answer(path, rows):
    """Writes rows as JSON, one a line, in the order of their text."""
    texts = sorted(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    assert texts, f"{path} has nothing to compare"
    write_lines(path, texts)


def disordered(rng, rows, seconds):
    """Lets rows arrive up to `seconds` late; a watermark that waits as long loses none."""
    arrivals = [(time + timedelta(seconds=seconds * rng.random()), at, time, row)
                for at, (time, row) in enumerate(rows)]
    return [(time, row) for _, _, time, row in sorted(arrivals, key=lambda a: a[:2])]


def word_count():
    rng = random.Random(1)
    lines = [" ".join(pick(rng, WORDS) for _ in range(4 + int(9 * rng.random())))
             for _ in range(2000)]
    write_lines("word-count/lines.txt", lines)
    counts = Counter(word for line in lines for word in line.split(" "))
    write_answer("word-count/expected.json",
                 ({"word": word, "occurrences": count} for word, count in counts.items()))


def socket_word_count():
    rng = random.Random(2)
    lines = [" ".join(pick(rng, WORDS) for _ in range(3 + int(5 * rng.random())))
             for _ in range(500)]
    write_lines("socket-word-count/lines.txt", lines)
    counts = Counter(word for line in lines for word in line.split(" "))
    write_answer("socket-word-count/expected.json",
                 ({"word": word, "occurrences": count} for word, count in counts.items()))


def running_mean():
    rng = random.Random(3)
    sums, time, lines = defaultdict(lambda: [0.0, 0]), START, []
    for _ in range(3000):
        time += timedelta(milliseconds=int(900 * rng.random()))
        sensor = f"sensor-{1 + int(12 * rng.random()):02d}"
        # Quarters of a degree are exact in binary, so the order of adding does not matter.
        degrees = round(4 * (6 + int(sensor[-2:]) + 8 * rng.random())) / 4
        lines.append(f"{sensor},{degrees},{stamp(time)}")
        sums[sensor][0] += degrees
        sums[sensor][1] += 1
    write_lines("running-mean/readings.csv", lines)
    write_answer("running-mean/expected.json",
                 ({"sensor": sensor, "readings": count, "mean": total / count}
                  for sensor, (total, count) in sums.items()))


def page_views():
    rng = random.Random(4)
    users = [f"user-{n:02d}" for n in range(1, 21)]
    pages = ["/", "/gauges", "/forecast", "/map", "/about", "/alerts", "/history"]
    rows, time = [], START
    for _ in range(1500):
        time += timedelta(milliseconds=int(28_000 * rng.random()))
        rows.append((time, {"user_name": pick(rng, users), "page": pick(rng, pages),
                            "view_time": stamp(time)}))
    write_rows("page-views/views.json", (row for _, row in disordered(rng, rows, 4.9)))
    hour = timedelta(hours=1)
    counts = Counter((floor(time, hour), row["user_name"]) for time, row in rows)
    pages_seen = defaultdict(set)
    for time, row in rows:
        pages_seen[floor(time, hour), row["user_name"]].add(row["page"])
    write_answer("page-views/expected.json",
                 ({"window_start": stamp(start), "window_end": stamp(start + hour),
                   "user_name": user, "views": count,
                   "pages": len(pages_seen[start, user])}
                  for (start, user), count in counts.items()))


def trending_topics():
    rng = random.Random(5)
    rows, time = [], START
    for n in range(1200):
        time += timedelta(milliseconds=int(24_000 * rng.random()))
        # What people talk about moves on, one topic an hour.
        shift = (time - START) // timedelta(hours=1)
        topics = TOPICS[shift % len(TOPICS):] + TOPICS[:shift % len(TOPICS)]
        words = [pick(rng, topics) for _ in range(2)] + [pick(rng, FILLERS)]
        rows.append((time, {"author": f"user-{1 + int(200 * rng.random()):03d}",
                            "body": " ".join(words), "post_time": stamp(time)}))
    write_rows("trending-topics/posts.json", (row for _, row in disordered(rng, rows, 4.9)))
    slide, size = timedelta(minutes=30), timedelta(hours=1)
    counts = defaultdict(Counter)
    for time, row in rows:
        for start in (floor(time, slide), floor(time, slide) - slide):
            counts[start].update(row["body"].split(" "))
    answer = []
    for start, words in counts.items():
        ranked = sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))
        answer += [{"window_start": stamp(start), "window_end": stamp(start + size),
                    "place": place, "word": word, "mentions": count}
                   for place, (word, count) in enumerate(ranked[:3], 1)]
    write_answer("trending-topics/expected.json", answer)


def distinct_records():
    rng = random.Random(6)
    rows = []
    for epoch in range(1, 61):
        rows += [(epoch, {"epoch": epoch, "record": pick(rng, WORDS)})
                 for _ in range(5 + int(20 * rng.random()))]
    # A record comes among those of the next epoch at most.
    rows.sort(key=lambda row: row[0] + rng.random())
    write_rows("distinct-records/records.json", (row for _, row in rows))
    counts = Counter((epoch, row["record"]) for epoch, row in rows)
    write_answer("distinct-records/expected.json",
                 [{"epoch": epoch, "record": record} for epoch, record in counts] +
                 [{"epoch": epoch, "record": record, "occurrences": count}
                  for (epoch, record), count in counts.items()])


def zip_codes():
    rng = random.Random(7)
    users = [f"user-{n:02d}" for n in range(1, 21)]
    codes = {user: f"{10000 + int(80000 * rng.random())}" for user in users}
    write_rows("zip-codes/users.json",
               ({"user_name": user, "zip_code": code} for user, code in codes.items()))
    views = (HERE / "page-views/views.json").read_text(encoding="utf-8").splitlines()
    write_answer("zip-codes/expected.json",
                 ({"page": view["page"], "zip_code": codes[view["user_name"]],
                   "view_time": view["view_time"]} for view in map(json.loads, views)))


def profiles():
    rng = random.Random(8)
    users = [f"user-{n:02d}" for n in range(1, 41)]

    def changelog(count, change):
        time, rows, last = START, [], {}
        for _ in range(count):
            time += timedelta(milliseconds=1 + int(60_000 * rng.random()))
            row = {"user_name": pick(rng, users), **change(), "changed": stamp(time)}
            rows.append(row)
            last[row["user_name"]] = row
        return rows, last

    names, name = changelog(300, lambda: {"nickname": pick(rng, WORDS)})
    settings, setting = changelog(200, lambda: {"language": pick(rng, ["de", "en", "fr", "nl"]),
                                                "newsletter": rng.random() < 0.5})
    write_rows("profiles/profiles.json", names)
    write_rows("profiles/settings.json", settings)
    write_answer("profiles/expected.json",
                 ({"user_name": user, "nickname": row["nickname"],
                   "language": setting.get(user, {}).get("language"),
                   "newsletter": setting.get(user, {}).get("newsletter")}
                  for user, row in name.items()))


def exclamation():
    rng = random.Random(9)
    words = [pick(rng, WORDS) for _ in range(500)]
    write_lines("exclamation/words.txt", words)
    # Each word is heard from the source, with one mark, and through the first step, with two.
    write_answer("exclamation/expected.json",
                 ({"word": word + marks} for word in words for marks in ("!", "!!")))


def sums_each_minute():
    rng = random.Random(10)
    minute, script, sums, panes, answer = START, [], Counter(), Counter(), []

    def send(teams, timing):
        for team in sorted(teams):
            answer.append({"team": team, "points": sums[team], "timing": timing,
                           "pane": panes[team]})
            panes[team] += 1

    for _ in range(30):
        script.append({"clock": stamp(minute)})
        rows = [{"team": pick(rng, TOPICS), "points": 1 + int(9 * rng.random())}
                for _ in range(int(8 * rng.random()))]
        if rows:
            script.append({"rows": rows})
        for row in rows:
            sums[row["team"]] += row["points"]
        minute += timedelta(minutes=1)
        # When the next minute begins, the teams that scored in this one are told.
        send({row["team"] for row in rows}, "EARLY")
    script.append({"clock": stamp(minute)})
    write_rows("sums-each-minute/script.json", script)
    # The end of the input is that of the one window of all time.
    send(sums, "ON_TIME")
    write_answer("sums-each-minute/expected.json", answer)


def action_counts():
    rng = random.Random(11)
    actions = ["open", "search", "view", "save", "share", "close"]
    counts = Counter()
    for server in ("east", "north", "west"):
        time, rows = START, []
        for _ in range(400):
            time += timedelta(milliseconds=int(50_000 * rng.random()))
            rows.append({"action": pick(rng, actions), "time": stamp(time)})
            counts[rows[-1]["action"], floor(time, timedelta(hours=1))] += 1
        write_rows(f"action-counts/logs/{server}.json", rows)
    write_answer("action-counts/expected.json",
                 ({"action": action, "hour_start": stamp(start), "actions": count}
                  for (action, start), count in counts.items()))


def ad_clicks():
    rng = random.Random(12)
    ads = [f"{topic} tickets" for topic in TOPICS]
    views, clicks, counts, time = [], [], defaultdict(Counter), START
    for _ in range(1500):
        time += timedelta(milliseconds=int(15_000 * rng.random()))
        view = {"user_id": 1 + int(100 * rng.random()), "ad": pick(rng, ads)}
        views.append((time, {**view, "at": stamp(time)}))
        # The less often an ad is shown, the more it is liked; some click long after they saw it.
        if rng.random() < 0.05 + 0.03 * ads.index(view["ad"]):
            click_time = time + timedelta(milliseconds=int(900_000 * rng.random()))
            clicks.append((click_time, {**view, "at": stamp(click_time)}))
    clicks.sort(key=lambda click: click[0])
    write_rows("ad-clicks/views.json", (row for _, row in disordered(rng, views, 4.9)))
    write_rows("ad-clicks/clicks.json", (row for _, row in disordered(rng, clicks, 4.9)))
    hour, wait = timedelta(hours=1), timedelta(minutes=10)
    for seen, view in views:
        counts[floor(seen, hour)][view["ad"]] += sum(
            (click["user_id"], click["ad"]) == (view["user_id"], view["ad"])
            and seen <= clicked <= seen + wait for clicked, click in clicks)
    best = {start: max((count, ad) for ad, count in of.items()) for start, of in counts.items()}
    write_answer("ad-clicks/expected.json",
                 ({"window_start": stamp(start), "window_end": stamp(start + hour),
                   "ad": ad, "clicks": count} for start, (count, ad) in best.items()))


def hourly_buckets():
    rng = random.Random(13)
    genres, hour, every = ["folk", "jazz", "rock"], timedelta(hours=1), 10
    plays, time = [], START
    for _ in range(400):
        time += timedelta(milliseconds=int(60_000 * rng.random()))
        # One play in ten is told of when its player is connected again, up to two hours later.
        delay = timedelta(hours=2 * rng.random()) if rng.random() < 0.1 else timedelta()
        plays.append((time + delay, time, pick(rng, genres)))
    plays.sort()
    script, watermark, buckets = [], START, {}
    for arrival, time, genre in plays:
        if floor(arrival, hour) > watermark:
            watermark = floor(arrival, hour)
            script.append({"watermark": stamp(watermark)})
            for (start, _), bucket in buckets.items():
                if bucket["timing"] != "ON_TIME" and start + hour == watermark:
                    bucket.update(sent=bucket["plays"], pane=bucket["pane"] + 1, timing="ON_TIME")
        script.append({"row": {"genre": genre, "played": stamp(time)}})
        fresh = {"plays": 0, "sent": 0, "pane": -1, "timing": None}
        bucket = buckets.setdefault((floor(time, hour), genre), fresh)
        bucket["plays"] += 1
        is_late = floor(time, hour) + hour <= watermark
        if is_late or bucket["plays"] - bucket["sent"] == every:
            bucket.update(sent=bucket["plays"], pane=bucket["pane"] + 1,
                          timing="LATE" if is_late else "EARLY")
    write_rows("hourly-buckets/script.json", script)
    for (start, _), bucket in buckets.items():
        if start + hour > watermark:
            bucket.update(pane=bucket["pane"] + 1, timing="ON_TIME")
    write_answer("hourly-buckets/expected.json",
                 ({"hour_start": stamp(start), "genre": genre, "plays": bucket["plays"],
                   "timing": bucket["timing"], "pane": bucket["pane"]}
                  for (start, genre), bucket in buckets.items()))


def sessions():
    gap, sessions = timedelta(minutes=10), defaultdict(list)
    lines = (HERE / "page-views/views.json").read_text(encoding="utf-8").splitlines()
    views = [(view["user_name"], datetime.fromisoformat(view["view_time"]))
             for view in map(json.loads, lines)]
    for user, time in sorted(views):
        if sessions[user] and time <= sessions[user][-1]["end"]:
            sessions[user][-1].update(end=time + gap, views=sessions[user][-1]["views"] + 1)
        else:
            sessions[user].append({"start": time, "end": time + gap, "views": 1})
    write_answer("sessions/expected.json",
                 ({"user_name": user, "session_start": stamp(session["start"]),
                   "session_end": stamp(session["end"]), "views": session["views"]}
                  for user, of in sessions.items() for session in of))


def links():
    """Returns the links of a network that are open in the end; each row of the script is the last word
    on its link."""
    rng = random.Random(15)
    time, script, last = START, [], {}
    for step in range(24):
        rows = []
        for _ in range(12 if step == 0 else 1 + int(4 * rng.random())):
            time += timedelta(milliseconds=int(9_000 * rng.random()) + 1)
            link = {"link": int(60 * rng.random()), "from_station": int(30 * rng.random()),
                    "to_station": int(30 * rng.random()), "minutes": 1 + int(20 * rng.random()),
                    "is_open": rng.random() < 0.75, "changed": stamp(time)}
            rows.append(link)
            last[link["link"]] = link
        script.append({"rows": rows})
    write_rows("connected-components/links.json", script)
    return [link for link in last.values() if link["is_open"]]


def connected_components():
    component = {}

    def least(station):
        while component.setdefault(station, station) != station:
            station = component[station]
        return station

    for link in links():
        ends = sorted((least(link["from_station"]), least(link["to_station"])))
        component[ends[1]] = ends[0]
    write_answer("connected-components/expected.json",
                 ({"station": station, "component": least(station)} for station in component))


def shortest_paths():
    ways = defaultdict(list)
    for link in links():
        ends = (link["from_station"], link["to_station"])
        for start, end in (ends, ends[::-1]):
            ways[start].append((end, link["minutes"]))
    minutes, queue = {}, [(0, 1)]
    while queue:
        time, station = heapq.heappop(queue)
        if station not in minutes:
            minutes[station] = time
            for end, length in ways[station]:
                heapq.heappush(queue, (time + length, end))
    write_answer("shortest-paths/expected.json",
                 ({"station": station, "minutes": time} for station, time in minutes.items()))


def page_rank():
    ways = Counter((link["from_station"], link["to_station"]) for link in links())
    degrees = Counter()
    for (start, _), count in ways.items():
        degrees[start] += count
    stations = {station for way in ways for station in way}
    ranks, before = {station: 1_500 for station in stations}, None
    while ranks != before:
        before, ranks = ranks, {station: 1_500 for station in stations}
        for (start, end), count in ways.items():
            ranks[end] += before[start] * 85 // (100 * degrees[start]) * count
    write_answer("page-rank/expected.json",
                 ({"station": station, "rank": rank} for station, rank in ranks.items()))


def reachability():
    ways = {(link["from_station"], link["to_station"]) for link in links()}
    while True:
        further = {(a, d) for a, b in ways for c, d in ways if b == c} | ways
        if further == ways:
            break
        ways = further
    write_answer("reachability/expected.json",
                 ({"from_station": start, "to_station": end} for start, end in ways))


def abandoned_carts():
    rng = random.Random(14)
    users = [f"user-{n:02d}" for n in range(1, 41)]
    actions, time = [], START
    for _ in range(1600):
        time += timedelta(milliseconds=1 + int(10_000 * rng.random()))
        action = pick(rng, ["look", "cart", "pay", "help"])
        actions.append((time, {"user_name": users[int(len(users) * rng.random())],
                               "action": action, "action_time": stamp(time)}))
    write_rows("abandoned-carts/actions.json", (row for _, row in disordered(rng, actions, 4.9)))
    within, answer = timedelta(minutes=30), []
    for user in users:
        own = [(time, row["action"]) for time, row in actions if row["user_name"] == user]
        first = 0
        while first < len(own):
            reached = [action for time, action in own[first:] if time <= own[first][0] + within]
            looks = next((n for n, action in enumerate(reached) if action != "look"), len(reached))
            if not looks or reached[looks:looks + 1] != ["cart"]:
                first += 1
                continue
            paid = reached.index("pay") if "pay" in reached else None
            if paid is None:
                answer.append({"user_name": user, "seen": stamp(own[first][0]),
                               "carted": stamp(own[first + looks][0]), "looks": looks})
            first += len(reached) if paid is None else paid + 1
    write_answer("abandoned-carts/expected.json", answer)


def price_dips():
    rng = random.Random(15)
    quotes, prices, time = defaultdict(list), {symbol: 100 for symbol in ["ACME", "EDGE", "WAVE"]}, START
    rows = []
    for _ in range(900):
        time += timedelta(milliseconds=1 + int(4_000 * rng.random()))
        symbol = pick(rng, list(prices))
        prices[symbol] += int(7 * rng.random()) - 3
        quotes[symbol].append((time, prices[symbol]))
        rows.append((time, {"symbol": symbol, "price": prices[symbol], "quoted": stamp(time)}))
    write_rows("price-dips/ticker.json", (row for _, row in disordered(rng, rows, 4.9)))
    answer = []
    for symbol, of in quotes.items():
        steps = [after - before for (_, before), (_, after) in zip(of, of[1:])] + [0]
        top = 0
        while top < len(of) - 1:
            bottom = next(n for n in range(top, len(of)) if steps[n] >= 0)
            end = next(n for n in range(bottom, len(of)) if steps[n] <= 0)
            if top < bottom < end:
                answer.append({"symbol": symbol, "dip_start": stamp(of[top][0]),
                               "bottom": stamp(of[bottom][0]), "dip_end": stamp(of[end][0]),
                               "fall": of[top][1] - of[bottom][1], "rises": end - bottom})
                top = end
            else:
                top += 1
    write_answer("price-dips/expected.json", answer)


def fraud():
    rng = random.Random(16)
    charges, time = [], START
    for _ in range(1500):
        time += timedelta(milliseconds=int(4_000 * rng.random()))
        kind = rng.random()
        cents = int(100 * rng.random() if kind < 0.1 else 50_001 + 90_000 * rng.random()
                    if kind > 0.9 else 100 + 20_000 * rng.random())
        charges.append((time, {"card": 1 + int(40 * rng.random()), "cents": cents,
                               "at": stamp(time)}))
    write_rows("fraud/charges.json", (row for _, row in disordered(rng, charges, 4.9)))
    alerts, minute = [], timedelta(minutes=1)
    for card in range(1, 41):
        of, first = [charge for charge in charges if charge[1]["card"] == card], 0
        while first < len(of):
            tried, small = of[first]
            large = next((at for at in range(first + 1, len(of)) if of[at][1]["cents"] > 50_000
                          and of[at][0] - tried <= minute), None)
            if small["cents"] < 100 and large is not None:
                alerts.append({"card": card, "cents": of[large][1]["cents"],
                               "tried_at": small["at"], "charged_at": of[large][1]["at"]})
                first = large
            first += 1
    write_answer("fraud/expected.json", alerts)


if __name__ == "__main__":
    for make in (word_count, socket_word_count, running_mean, page_views, trending_topics,
                 distinct_records, zip_codes, profiles, exclamation, sums_each_minute,
                 action_counts, ad_clicks, hourly_buckets, fraud, sessions, abandoned_carts,
                 price_dips, connected_components, shortest_paths, page_rank, reachability):
        make()
        print(f"examples: wrote {make.__name__.replace('_', '-')}")

"""Prints page views as NDJSON: the same ones each time."""
import json

state = 42


def below(bound):
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return (state >> 33) % bound


for n in range(40_000):
    second = n * 3 - below(60) if n > 20 else n * 3
    day, hour, minute = 1 + second // 86_400, second // 3600 % 24, second // 60 % 60
    time = f"2024-05-{day:02} {hour:02}:{minute:02}:{second % 60:02}.000"
    print(json.dumps({"user": f"user-{below(20)}", "page": f"/page/{below(50)}", "ts": time}))

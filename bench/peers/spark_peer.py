#!/usr/bin/env python3
"""Runs one of the queries on Spark's structured streaming, some times over, and prints what each run cost.

Arguments: query, folder of bids, workers, runs. Spark has another dialect for windows, so its queries
stand here; they ask for the same as those in nexmark and bench/nexmark. A line of JSON for each run: seconds by
the clock, and CPU-seconds of this process and all below it. The first line is what starting cost.
"""

import json
import os
import shutil
import sys
import tempfile
import time

from cpu import tree_cpu_seconds

BID = ("auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, "
       "dateTime TIMESTAMP, extra STRING")

QUERIES = {
    "q0": "SELECT auction, bidder, price, dateTime, extra FROM bid",
    "q1": "SELECT auction, bidder, 0.908 * price AS price, dateTime, extra FROM bid",
    "q2": "SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0",
    "q5_count": """SELECT auction, COUNT(*) AS num, window.start, window.end
                   FROM bid GROUP BY auction, window(dateTime, '10 seconds', '2 seconds')""",
    "q11": """SELECT bidder, COUNT(*) AS bid_count, session_window.start, session_window.end
              FROM bid GROUP BY bidder, session_window(dateTime, '10 seconds')""",
    "q12_event": """SELECT bidder, COUNT(*) AS bid_count, window.start, window.end
              FROM bid GROUP BY bidder, window(dateTime, '10 seconds')""",
}


def report(what, wall, cpu):
    print(json.dumps({"run": what, "wall_seconds": round(wall, 3), "cpu_seconds": round(cpu, 3)}),
          flush=True)


def main():
    query, folder, workers, runs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    began = time.monotonic()
    from pyspark.sql import SparkSession
    spark = (SparkSession.builder.master(f"local[{workers}]")
             .config("spark.sql.shuffle.partitions", workers)
             .config("spark.sql.session.timeZone", "UTC")
             .config("spark.ui.enabled", "false")
             .config("spark.driver.host", "127.0.0.1")
             .config("spark.driver.memory", "4g").getOrCreate())
    spark.sparkContext.setLogLevel("ERROR")
    reader = spark.readStream.schema(BID).option("timestampFormat", "yyyy-MM-dd HH:mm:ss.SSS")
    reader.json(folder).withWatermark("dateTime", "4 seconds").createOrReplaceTempView("bid")
    answer = spark.sql(QUERIES[query])
    report("start", time.monotonic() - began, tree_cpu_seconds(os.getpid()))
    for run in range(runs):
        state = tempfile.mkdtemp()
        cpu, began = tree_cpu_seconds(os.getpid()), time.monotonic()
        (answer.writeStream.format("noop").outputMode("append").option("checkpointLocation", state)
         .trigger(availableNow=True).start().awaitTermination())
        report("first" if run == 0 else "again", time.monotonic() - began,
               tree_cpu_seconds(os.getpid()) - cpu)
        shutil.rmtree(state, ignore_errors=True)
    spark.stop()


if __name__ == "__main__":
    main()

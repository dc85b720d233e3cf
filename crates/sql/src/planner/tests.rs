use std::collections::BTreeSet;

use crate::test_support::{explained, plan, refused};

/// Would fail if a statement that streams were refused, or lost its meaning on the way.
#[test]
fn what_streams_is_planned() {
    let window = "FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))";
    let named = "FROM TABLE(HOP(DATA => TABLE bid, TIMECOL => DESCRIPTOR(`dateTime`), SLIDE => INTERVAL '2' SECOND, SIZE => INTERVAL '10' SECOND))";
    let cases = [
        ("SELECT auction, cents, extra.y FROM bid WHERE price > 7", "filter"),
        ("SELECT CAST(price AS STRING) FROM bid", "project CAST(bid.price AS STRING)"),
        (
            &*format!(
                "SELECT window_start, auction, COUNT(*) {window} GROUP BY window_start, window_end, auction"
            ),
            "WindowAggregate ATTACHED",
        ),
        (
            &*format!(
                "SELECT window_time, SUM(price) {named} GROUP BY window_start, window_end, window_time"
            ),
            "WindowAggregate HOP(2000, 10000)",
        ),
        (&*format!("SELECT window_end, price {named}"), "expand windows"),
        (
            "SELECT auction, COUNT(DISTINCT price), AVG(price) FROM bid GROUP BY auction HAVING COUNT(*) > 1",
            "Aggregate by [auction]",
        ),
        ("SELECT DISTINCT auction FROM bid", "Aggregate by [auction]"),
        ("SELECT auction FROM bid UNION ALL SELECT price FROM bid", "Union"),
        ("WITH b AS (SELECT price p FROM bid) SELECT p + 1 FROM b", "project"),
        ("CREATE VIEW v AS SELECT auction a FROM bid; SELECT a FROM v", "project"),
        ("INSERT INTO plain (n) SELECT price FROM bid", "Sink plain"),
        (
            "EXECUTE STATEMENT SET BEGIN INSERT INTO plain SELECT 'a', price FROM bid; INSERT INTO updated SELECT 'b', price FROM bid; END",
            "Sink updated",
        ),
        (
            &*format!(
                "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY price DESC) AS rn {window}) WHERE rn <= 3"
            ),
            "WindowTop 1 to 3",
        ),
    ];
    for (statement, expected) in cases {
        let text = explained(statement);
        assert!(text.contains(expected), "{statement}\n{text}");
    }
}

/// Would fail if a table read twice had two sources, which would read it twice.
#[test]
fn a_table_is_read_once() {
    let text = "INSERT INTO plain SELECT 'a', price FROM bid; INSERT INTO updated SELECT 'b', auction FROM bid";
    let plan = plan(text).unwrap().plan.unwrap();
    assert_eq!(plan.sources().count(), 1);
}

/// Would fail if something that cannot run as a stream were planned, or refused without a reason.
#[test]
fn what_does_not_stream_is_refused_with_a_way_out() {
    let cases = [
        ("INSERT INTO plain SELECT 'a', COUNT(*) FROM bid", "inserts only"),
        ("SELECT auction FROM bid ORDER BY auction", "never does"),
        ("SELECT * FROM TABLE(TUMBLE(TABLE plain, DESCRIPTOR(n), INTERVAL '1' SECOND))", "no time"),
        ("SELECT * FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`)))", "SIZE"),
        ("SELECT price FROM bid; SELECT auction FROM bid", "one SELECT"),
        ("INSERT INTO plain SELECT price, auction FROM bid", "column `k`"),
        ("INSERT INTO plain SELECT 'a' FROM bid", "takes 2 columns"),
        ("SET 'parallelism.defalt' = '2'", "unknown setting"),
        ("CREATE TABLE t (a BIGINT, WATERMARK FOR a AS a) WITH ('connector' = 'append')", "BIGINT"),
        ("SET 'require.exactly-once' = 'true'; SELECT price FROM bid", "require.exactly-once"),
    ];
    for (statement, expected) in cases {
        let error = plan(statement).err().unwrap_or_else(|| panic!("{statement} was planned"));
        assert!(error.message().contains(expected), "{statement}: {error:?}");
        assert!(
            !error.places().is_empty() || statement.starts_with("SET 'require"),
            "{statement}: {error:?}"
        );
    }
}

/// Would fail if an error pointed beside what is wrong, or did not say what is right.
#[test]
fn errors_point_at_the_text_and_say_what_is_right() {
    let cases = [
        ("SELECT prce FROM bid", "[prce] there is no column `prce`; did you mean `price`?"),
        (
            "SELECT Auction FROM bid",
            "[Auction] there is no column `Auction`; did you mean `auction`?",
        ),
        (
            "SELECT bidd.price FROM bid",
            "[bidd.price] there is no column `bidd.price`; did you mean `bid.price`?",
        ),
        ("SELECT x FROM plain", "[x] there is no column `x`; columns are: k, n"),
        ("SELECT 1 FROM\n  palin", "[palin] there is no table `palin`; did you mean `plain`?"),
        ("SELECT lowr(url) FROM bid", "[lowr] there is no function `lowr`; did you mean `lower`?"),
        ("SELECT auction,\n price +\nFROM bid", "[FROM] expected an expression, found `FROM`"),
        (
            "SELECT auction FROM bid WHERE",
            "[] expected an expression, found the end of the statement",
        ),
        ("SELECT auction FORM bid", "[bid] expected the end, found `bid`"),
        (
            "SELECT auction, SUM(price) FROM bid",
            "[auction] column `bid.auction` is neither in GROUP BY nor inside an aggregate",
        ),
        ("DESCRIBE nothing", "[nothing] there is no table `nothing`"),
        ("DROP VIEW bid", "[bid] `bid` is a table; write DROP TABLE"),
        ("CREATE VIEW bid AS SELECT 1", "[bid] table or view `bid` exists already"),
        ("CREATE VIEW v (a) AS SELECT 1, 2", "[v] view `v` names 1 columns, and its query has 2"),
        (
            "CREATE VIEW v AS SELECT 1; INSERT INTO v SELECT 1",
            "[v] `v` is a view; INSERT INTO a table",
        ),
        (
            "SELECT auction FROM bid WHERE auction = (SELECT price FROM bid)",
            "[SELECT] this sub-query can have more than one row; take an aggregate of it (MAX, MIN, …)",
        ),
        (
            "SELECT CAST(price AS DATE) FROM bid",
            "[SELECT] a BIGINT cannot be cast to DATE; cast it to STRING first, if that helps",
        ),
    ];
    for (script, expected) in cases {
        assert_eq!(refused(script), expected, "{script}");
    }
}

/// Would fail if a table that is wrong in itself were made, or the error did not name the part.
#[test]
fn tables_are_checked_where_they_are_made() {
    let cases = [
        (
            "(a INT, b AS d * 2) WITH ('connector'='append')",
            "[d] there is no column `d`; columns are: a",
        ),
        ("(b AS 1) WITH ('connector'='append')", "[t] table `t` has no physical columns"),
        (
            "(a INT, PRIMARY KEY (b) NOT ENFORCED) WITH ('connector'='append')",
            "[b] there is no column `b`",
        ),
        (
            "(a INT, b AS a, PRIMARY KEY (b) NOT ENFORCED) WITH ('connector'='append')",
            "[b] column `b` is computed; a PRIMARY KEY is made of physical columns",
        ),
        ("(a INT, WATERMARK FOR b AS b) WITH ('connector'='append')", "[b] there is no column `b`"),
        (
            "(a INT, WATERMARK FOR a AS a) WITH ('connector'='append')",
            "[a] column `a` has type INT; a WATERMARK is for a TIMESTAMP column",
        ),
        (
            "(a TIMESTAMP(3), WATERMARK FOR a AS 5) WITH ('connector'='append')",
            "[a] this WATERMARK has type INT; a watermark is a TIMESTAMP, such as a - INTERVAL '5' SECOND",
        ),
        (
            "(a TIMESTAMP(3), WATERMARK FOR a AS x - INTERVAL '1' SECOND) WITH ('connector'='append')",
            "[x] there is no column `x`; columns are: a",
        ),
        ("(a INT) WITH ('path'='x')", "[t] option 'connector' is missing"),
        (
            "(a INT) WITH ('connector'='appnd')",
            "['appnd'] unknown connector 'appnd'; did you mean 'append'?",
        ),
        (
            "(a INT) WITH ('connector'='append', 'pth'='x')",
            "['pth'] unknown option 'pth'; did you mean 'path'?",
        ),
        (
            "(a INT) WITH ('connector'='append', 'scan.rows-per-second'='0')",
            "['scan.rows-per-second'] option 'scan.rows-per-second' must be at least 1",
        ),
        (
            "(a INT) WITH ('connector'='append', 'scan.watermark.idle-timeout'='soon')",
            "['soon'] option 'scan.watermark.idle-timeout' is not a time span such as '5s': 'soon'",
        ),
        (
            "(a INT) WITH ('connector'='append', 'scan.watermark.split-percentile'='90')",
            "['scan.watermark.split-percentile'] option 'scan.watermark.split-percentile': `90` is no \
             share; write a number from 0 to 1 with at most six digits, such as 0.95",
        ),
        (
            "(a INT) WITH ('connector'='append', 'bad-records'='drop')",
            "['drop'] option 'bad-records' is 'drop'; use 'fail', 'skip' or 'table:NAME'",
        ),
        (
            "(a INT) WITH ('connector'='append', 'late-records'='x')",
            "['x'] option 'late-records' is 'x'; use 'table:NAME'",
        ),
    ];
    for (table, expected) in cases {
        assert_eq!(refused(&format!("CREATE TABLE t {table}")), expected, "{table}");
    }
}

/// Would fail if rows went into a table whose columns they do not fit.
#[test]
fn inserts_fit_their_table() {
    let cases = [
        (
            "plain SELECT auction, price FROM bid",
            "[plain] column `k` of table `plain` is STRING, and the query gives BIGINT, which does not become it by itself; CAST column `auction` of the query",
        ),
        (
            "plain SELECT url FROM bid",
            "[plain] table `plain` takes 2 columns, and the query has 1; wanted: k, n; given: url",
        ),
        (
            "plain (n) SELECT url, price FROM bid",
            "[plain] table `plain` takes 1 columns, and the query has 2; wanted: n; given: url, price",
        ),
        ("plain (number) SELECT price FROM bid", "[number] table `plain` has no column `number`"),
        ("bid (cents) SELECT price FROM bid", "[cents] table `bid` has no physical column `cents`"),
        (
            "strict (a) SELECT 1 FROM bid",
            "[strict] column `b` of table `strict` is NOT NULL, and the INSERT leaves it out",
        ),
        (
            "nested SELECT extra FROM bid",
            "[nested] column `r` of table `nested` is ROW<`x` INT, `z` STRING>, and the query gives ROW<`x` INT, `y` STRING>, which does not become it by itself; CAST column `extra` of the query",
        ),
    ];
    let tables = "CREATE TABLE strict (a BIGINT, b BIGINT NOT NULL) WITH ('connector'='append'); \
                  CREATE TABLE nested (r ROW<x INT, z STRING>) WITH ('connector'='append');";
    for (insert, expected) in cases {
        assert_eq!(refused(&format!("{tables} INSERT INTO {insert}")), expected, "{insert}");
    }
    let text = explained("INSERT INTO plain (n, k) SELECT CAST(price AS INT), NULL FROM bid");
    assert!(text.contains("AS k") && text.contains("AS n"), "{text}");
}

/// Would fail if a setting were dropped in silence, or a wrong one found out only at the run.
#[test]
fn settings_are_obeyed_named_or_refused() {
    let script = "SET 'parallelism.default' = '4'; SET 'pipeline.name' = 'x'; RESET 'pipeline.name'; \
                  SET 'execution.runtime-mode' = 'streaming'; SET 'execution.runtime-mode' = 'batch'";
    let script = plan(script).unwrap();
    assert_eq!(
        script.settings.into_iter().collect::<Vec<_>>(),
        [("parallelism.default".into(), "4".into())]
    );
    assert_eq!(script.notices, ["'execution.runtime-mode' has no meaning here and is ignored"]);
    let cases = [
        (
            "SET 'paralelism.default' = '2'",
            "['paralelism.default'] unknown setting 'paralelism.default'; did you mean 'parallelism.default'?",
        ),
        (
            "SET 'parallelism.default' = '0'",
            "['0'] 'parallelism.default' is not a number of workers, 1 to 256: '0'",
        ),
        (
            "SET 'require.exactly-once' = 'yes'",
            "['yes'] 'require.exactly-once' is not true or false: 'yes'",
        ),
        (
            "SET 'execution.checkpointing.interval' = '0 s'",
            "['0 s'] 'execution.checkpointing.interval' is not a time span such as '1s': '0 s'",
        ),
        (
            "SET 'table.local-time-zone' = 'Europe/Rom'",
            "['Europe/Rom'] 'table.local-time-zone' is not a time zone: 'Europe/Rom'; did you mean 'Europe/Rome'?",
        ),
        (
            "SET 'table.local-time-zone' = 'berlin'",
            "['berlin'] 'table.local-time-zone' is not a time zone: 'berlin'; did you mean 'Europe/Berlin'?",
        ),
        (
            "SET 'table.local-time-zone' = 'default'",
            "['default'] 'table.local-time-zone' is not a time zone: 'default'; write a region such as 'Europe/Berlin', 'UTC', or 'GMT+02:00'",
        ),
        (
            "SET 'table.exec.source.idle-timeout' = 'soon'",
            "['soon'] 'table.exec.source.idle-timeout' is not a time span such as '5s', or 0: 'soon'",
        ),
        (
            "SET 'state.backend.typ' = 'rocksdb'",
            "['state.backend.typ'] unknown setting 'state.backend.typ'; did you mean 'state.backend.type'?",
        ),
        (
            "RESET 'pipeline.nme'",
            "['pipeline.nme'] unknown setting 'pipeline.nme'; did you mean 'pipeline.name'?",
        ),
    ];
    for (script, expected) in cases {
        assert_eq!(refused(script), expected, "{script}");
    }
}

/// Would fail if the idle timeout of all sources were not obeyed, or went before a table's own.
#[test]
fn sources_take_the_idle_timeout_of_the_script() {
    let check = |setting: &str, own: &str, expected: Option<u64>| {
        let script = format!(
            "SET 'table.exec.source.idle-timeout' = '{setting}';
             CREATE TABLE quiet (a BIGINT) WITH ('connector'='append'{own}); SELECT a FROM quiet"
        );
        let plan = plan(&script).unwrap().plan.unwrap();
        let found: Vec<_> = plan.sources().map(|(_, source)| source.idle_timeout).collect();
        assert_eq!(found, [expected.map(std::time::Duration::from_secs)], "{setting} {own}");
    };
    check("5 s", "", Some(5));
    check("0", "", None);
    check("5 s", ", 'scan.watermark.idle-timeout' = '1 s'", Some(1));
}

/// Would fail if the share of splits with which a watermark goes on were not obeyed, or not shown.
#[test]
fn a_watermark_goes_on_with_a_share_of_the_splits() {
    let of = |option: &str| {
        let script = format!(
            "CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
             WITH ('connector'='append'{option}); SELECT ts FROM t"
        );
        plan(&script).unwrap().plan.unwrap()
    };
    let plan = of(", 'scan.watermark.split-percentile' = '0.9'");
    let shares: Vec<_> = plan.sources().map(|(_, source)| source.split_share).collect();
    assert_eq!(shares, ["0.9".parse().unwrap()]);
    let shown = thalweg_plan::explain::explain(&plan);
    assert!(shown.contains("ts; the greatest that 0.9 of the splits have reached"), "{shown}");
    let shown = thalweg_plan::explain::explain(&of(""));
    assert!(!shown.contains("splits"), "{shown}");
}

/// Would fail if splits were to wait for each other without a time, or without a bound, and nobody said so.
#[test]
fn what_splits_wait_for_is_said_whole() {
    let cases = [
        (
            "(a INT) WITH ('connector'='append', 'scan.watermark.alignment.max-drift'='1 min')",
            "['scan.watermark.alignment.max-drift'] option 'scan.watermark.alignment.max-drift' without \
             a watermark; declare WATERMARK FOR the column of event time",
        ),
        (
            "(a INT) WITH ('connector'='append', 'scan.watermark.alignment.group'='g')",
            "['scan.watermark.alignment.group'] option 'scan.watermark.alignment.group' without \
             'scan.watermark.alignment.max-drift'; say how far a split may be ahead of the slowest one",
        ),
    ];
    for (table, expected) in cases {
        assert_eq!(refused(&format!("CREATE TABLE t {table}")), expected, "{table}");
    }
}

/// Would fail if how far splits may part were not obeyed, or not shown.
#[test]
fn splits_that_are_too_far_ahead_wait() {
    let of = |options: &str| {
        let script = format!(
            "CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector'='append',
               'scan.watermark.alignment.max-drift' = '1 min'{options}); SELECT ts FROM t"
        );
        let script = plan(&script).unwrap();
        let notices = &script.notices;
        assert!(notices.iter().all(|notice| !notice.contains("alignment")), "{notices:?}");
        script.plan.unwrap()
    };
    let grouped = ", 'scan.watermark.alignment.group' = 'g',
                     'scan.watermark.alignment.update-interval' = '1 s'";
    for (options, group) in [("", "t"), (grouped, "g")] {
        let plan = of(options);
        let (_, source) = plan.sources().next().unwrap();
        let alignment = source.alignment.as_ref().unwrap();
        assert_eq!((alignment.group.as_str(), alignment.max_drift.as_secs()), (group, 60));
        let shown = thalweg_plan::explain::explain(&plan);
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = format!("ts; waits when 60s ahead of the slowest split of `{group}`");
        assert!(shown.contains(&said), "{shown}");
    }
}

/// Would fail if a script that only looks at things ran something, or showed it wrongly.
#[test]
fn tables_and_views_are_shown() {
    let script = "CREATE VIEW totals (a, n) AS SELECT auction, COUNT(*) FROM bid GROUP BY auction; \
                  CREATE TABLE keyed (id BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector'='append'); \
                  SHOW TABLES; SHOW VIEWS; DESCRIBE bid; DESC totals; DESC keyed; DROP VIEW totals; SHOW VIEWS";
    let script = plan(script).unwrap();
    assert!(script.plan.is_none());
    let expected = [
        "bid\nevent\nkeyed\nlines\nplain\ntotals\nupdated",
        "totals",
        "auction BIGINT\nbidder BIGINT\nprice BIGINT\nchannel STRING\nurl STRING\n\
         dateTime TIMESTAMP(3)\nextra ROW<`x` INT, `y` STRING>\ncents BIGINT AS price * 100\n\
         WATERMARK FOR dateTime AS `dateTime` - INTERVAL '4' SECOND",
        "a BIGINT\nn BIGINT NOT NULL",
        "id BIGINT\nPRIMARY KEY (id) NOT ENFORCED",
        "",
    ];
    assert_eq!(script.outputs, expected);
}

/// Would fail if a name came to mean another table while a statement still reads the first.
#[test]
fn names_of_dropped_tables_are_not_used_again() {
    let again = "DROP TABLE lines; CREATE TABLE lines (a INT) WITH ('connector'='append')";
    assert!(plan(again).is_ok());
    let behind = format!("INSERT INTO plain SELECT line, 1 FROM lines; {again}");
    assert_eq!(
        refused(&behind),
        "[lines] `lines` was dropped behind an INSERT of this script; give the new one another name"
    );
}

/// Would fail if the clock were folded into the plan: processes that plan the same text would
/// disagree, and every row would have the time of planning.
#[test]
fn the_same_text_gives_the_same_plan() {
    let script = "INSERT INTO plain SELECT CAST(NOW() AS STRING), COUNT(*) FROM TABLE(TUMBLE(TABLE bid, \
                  DESCRIPTOR(`dateTime`), INTERVAL '1' SECOND)) GROUP BY window_start, window_end";
    let first = explained(script);
    assert_eq!(first, explained(script));
    assert!(!first.contains("TimestampNanosecond"), "{first}");
}

/// Would fail if columns with the same name, which Flink takes, were refused.
#[test]
fn a_query_may_name_a_column_twice() {
    explained("INSERT INTO plain SELECT CAST(price AS STRING), price FROM bid");
    explained("SELECT price, CAST(price AS STRING), price, 0, 0 FROM bid");
}

/// Would fail if a table could not be called like what a SELECT shows.
#[test]
fn a_table_may_be_called_result() {
    let table = "CREATE TABLE result (k STRING) WITH ('connector'='append');";
    let text =
        explained(&format!("{table} INSERT INTO result SELECT url FROM bid; SELECT 1 FROM bid"));
    assert_eq!(text.matches("Sink result").count(), 2, "{text}");
}

/// What decides the state of a script's operators.
fn signatures(script: &str) -> Vec<String> {
    let plan = plan(script).unwrap().plan.unwrap();
    let of = |node| thalweg_plan::fingerprint::signature(&plan, node);
    plan.nodes.iter().filter_map(of).collect()
}

/// Would fail if functions of one order were several operators, or if one took up the state of functions
/// with other frames, which holds other rows.
#[test]
fn frames_of_one_order_are_one_operator_and_decide_its_state() {
    let of = |frames: [&str; 2]| -> String {
        let [sum, max] = frames.map(|frame| format!("OVER (ORDER BY `dateTime` {frame})"));
        let found = signatures(&format!("SELECT SUM(price) {sum}, MAX(price) {max} FROM bid"));
        let over = found.into_iter().filter(|signature| signature.starts_with("over "));
        let over: Vec<String> = over.collect();
        assert_eq!(over.len(), 1, "{over:?}");
        over[0].clone()
    };
    let (few, many) = ("ROWS 2 PRECEDING", "ROWS 5 PRECEDING");
    let time = "RANGE INTERVAL '5' SECOND PRECEDING";
    let all = [[few, few], [few, many], [many, few], [few, time], [time, few], [few, ""]];
    let found: BTreeSet<String> = all.into_iter().map(of).collect();
    assert_eq!(found.len(), all.len(), "{found:?}");
}

/// Would fail if state of one time zone were taken up in another, or if a zone on which nothing
/// depends stood in the way.
#[test]
fn state_belongs_to_the_zone_that_it_was_made_in() {
    let check = |query: &str, depends: bool| {
        let zones = ["UTC", "Europe/Berlin", "Asia/Tokyo", "GMT+01:00"];
        let found = zones
            .map(|zone| signatures(&format!("SET 'table.local-time-zone' = '{zone}'; {query}")));
        let are_apart = (0..4).all(|a| (0..a).all(|b| found[a] != found[b]));
        let are_same = found.iter().all(|signatures| *signatures == found[0]);
        assert!(if depends { are_apart } else { are_same }, "{query}: {found:?}");
    };
    check("SELECT CAST(seen AS DATE), COUNT(*) FROM event GROUP BY CAST(seen AS DATE)", true);
    check("SELECT kind, COUNT(*) FROM event WHERE HOUR(seen) < 6 GROUP BY kind", true);
    check("SELECT kind, MAX(seen) FROM event GROUP BY kind", false);
    check("SELECT CAST(seen AS DATE) FROM event", false);
    let window = |time: &str| {
        format!(
            "CREATE TABLE seen (n INT, ts TIMESTAMP(3), at TIMESTAMP_LTZ(3), \
                WATERMARK FOR {time} AS {time}) WITH ('connector' = 'append'); \
             SELECT window_start, COUNT(*) \
             FROM TABLE(HOP(TABLE seen, DESCRIPTOR({time}), INTERVAL '1' HOUR, INTERVAL '1' DAY)) \
             GROUP BY window_start, window_end"
        )
    };
    check(&window("at"), true);
    check(&window("ts"), false);
}

/// Would fail if a statement meant the zone of another one, or a source two watermarks at once.
#[test]
fn each_statement_means_the_zone_before_it() {
    let table = "CREATE TABLE seen (n INT, t STRING, at AS CAST(t AS TIMESTAMP_LTZ(3)) WATERMARK) \
        WITH ('connector' = 'append');";
    let insert = "INSERT INTO plain SELECT CAST(at AS STRING), n FROM seen;";
    let script = |watermark: &str| {
        let table = table.replace(" WATERMARK", watermark);
        format!(
            "{table} SET 'table.local-time-zone' = 'Asia/Tokyo'; {insert} \
             RESET 'table.local-time-zone'; {insert} \
             SET 'table.local-time-zone' = 'Europe/Berlin'; {insert}"
        )
    };
    let text = explained(&script(""));
    for zone in ["Asia/Tokyo", "Europe/Berlin"] {
        let count = |call| text.matches(&format!("{call}[{zone}](")).count();
        assert_eq!([count("to_instant"), count("to_local")], [1, 1], "{zone}\n{text}");
    }
    assert_eq!(text.matches("to_local").count(), 2, "{text}");
    let refused = refused(&script(", WATERMARK FOR at AS at"));
    assert!(
        refused.contains("the watermark of table `seen` depends on the time zone"),
        "{refused}"
    );
}

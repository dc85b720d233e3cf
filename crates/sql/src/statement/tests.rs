use super::*;
use crate::types;

/// Writes tokens, one space between two.
fn written(tokens: &[TokenWithSpan]) -> String {
    let words: Vec<String> = tokens.iter().map(|token| token.token.to_string()).collect();
    words.join(" ")
}

fn listed(names: &[Name]) -> String {
    let names: Vec<&str> = names.iter().map(|name| name.text.as_str()).collect();
    names.join(" ")
}

fn typed(field: &Field) -> String {
    let null = if field.is_nullable() { "" } else { " NOT NULL" };
    format!("; {} {}{null}", field.name(), types::name(field.data_type()))
}

fn table(create: &CreateTable) -> String {
    let mut text = format!("table {}", create.name.text);
    for column in &create.columns {
        text += &match column {
            Declared::Metadata(_, field, Metadata { key, is_virtual }) => {
                let is_virtual = if *is_virtual { " virtual" } else { "" };
                format!("{} from {}{is_virtual}", typed(field), key.text)
            }
            Declared::Physical(_, field) => typed(field),
            Declared::Computed(name, expr) => format!("; {} := {}", name.text, written(expr)),
        };
    }
    if let Some((column, expression)) = &create.watermark {
        text += &format!("; watermark {} := {}", column.text, written(expression));
    }
    if !create.primary_key.is_empty() {
        text += &format!("; key {}", listed(&create.primary_key));
    }
    if !create.partitions.is_empty() {
        text += &format!("; by {}", listed(&create.partitions));
    }
    for Pair { key, value } in &create.options {
        text += &format!("; {}={}", key.text, value.text);
    }
    text
}

fn shown(statement: &Statement) -> String {
    match &statement.kind {
        Kind::CreateTable(create) => table(create),
        Kind::CreateView(view) => {
            format!("view {} [{}]: {}", view.name.text, listed(&view.columns), written(&view.query))
        }
        Kind::Insert(insert) => {
            let Insert { table, partition, columns, query } = insert;
            let partition = partition.iter();
            let partition: String = partition
                .map(|(column, value)| format!(" ({}={})", column.text, written(value)))
                .collect();
            format!("insert {}{partition} [{}]: {}", table.text, listed(columns), written(query))
        }
        Kind::Query(query) => format!("query: {}", written(query)),
        Kind::Set(pair) => format!("set {}={}", pair.key.text, pair.value.text),
        Kind::Reset(key) => format!("reset {:?}", key.as_ref().map(|key| &key.text)),
        Kind::Show(shown) => format!("show {shown:?}"),
        Kind::ShowCreate(name) => format!("show create {}", name.text),
        Kind::Ignored(why) => format!("ignored: {why}"),
        Kind::Describe(name) => format!("describe {}", name.text),
        Kind::Drop { table, is_view, if_exists } => {
            format!("drop {} {is_view} {if_exists}", table.text)
        }
        Kind::Explain(_, inner) => format!("explain {}", set(inner)),
        Kind::Analyze(inner) => format!("analyze {}", set(inner)),
    }
}

fn set(inner: &[Statement]) -> String {
    let inner: Vec<String> = inner.iter().map(shown).collect();
    format!("{{{}}}", inner.join(" | "))
}

fn parsed(text: &str) -> String {
    let statements = parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    statements.iter().map(shown).collect::<Vec<_>>().join(" | ")
}

/// Would fail if a form of `CREATE TABLE` were misread.
#[test]
fn tables_are_read() {
    let cases = [
        (
            "CREATE TEMPORARY TABLE IF NOT EXISTS c.d.`my table` (a INT NOT NULL COMMENT 'x', b ROW<c STRING>) COMMENT 'y' WITH ('k'='v', 'l' = 'it''s')",
            "table my table; a INT NOT NULL; b ROW<`c` STRING>; k=v; l=it's",
        ),
        (
            "CREATE TABLE t (a BIGINT, ts AS TO_TIMESTAMP(a, 3) COMMENT 'x', WATERMARK FOR ts AS ts - INTERVAL '5' SECOND, PRIMARY KEY (a) NOT ENFORCED) WITH ('k'='v')",
            "table t; a BIGINT; ts := TO_TIMESTAMP ( a , 3 ) COMMENT 'x'; watermark ts := ts - INTERVAL '5' SECOND; key a; k=v",
        ),
        (
            "CREATE TABLE t (a BIGINT PRIMARY KEY NOT ENFORCED) WITH ('k'='v')",
            "table t; a BIGINT; key a; k=v",
        ),
        (
            "CREATE TABLE t (a INT, b INT, CONSTRAINT pk PRIMARY KEY (a, b) NOT ENFORCED) WITH ('k'='v')",
            "table t; a INT; b INT; key a b; k=v",
        ),
        (
            "CREATE TABLE t (a INT, p STRING NOT NULL METADATA FROM 'file.path' VIRTUAL, `file.size` BIGINT METADATA COMMENT 'x', b INT) COMMENT 'y' PARTITIONED BY (b, a) WITH ('k' = U&'\\0009')",
            "table t; a INT; p STRING NOT NULL from file.path virtual; file.size BIGINT from file.size; b INT; by b a; k=\t",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parsed(text), expected, "{text}");
    }
}

/// Would fail if a statement were taken for another one.
#[test]
fn statements_are_read() {
    let cases = [
        ("CREATE VIEW v AS SELECT 1", "view v []: SELECT 1"),
        ("CREATE TEMPORARY VIEW v (a, b) COMMENT 'x' AS SELECT 1, 2", "view v [a b]: SELECT 1 , 2"),
        ("INSERT INTO t SELECT 1", "insert t []: SELECT 1"),
        ("INSERT INTO t (a, b) VALUES (1, 2)", "insert t [a b]: VALUES ( 1 , 2 )"),
        (
            "INSERT INTO t PARTITION (b = 'x', c=1+2) (a) SELECT 1",
            "insert t (b='x') (c=1 + 2) [a]: SELECT 1",
        ),
        ("INSERT INTO t (SELECT 1)", "insert t []: ( SELECT 1 )"),
        (
            "insert into t ((WITH a AS (SELECT 1) SELECT 2))",
            "insert t []: ( ( WITH a AS ( SELECT 1 ) SELECT 2 ) )",
        ),
        ("SELECT 1", "query: SELECT 1"),
        ("(SELECT 1) UNION ALL (SELECT 2)", "query: ( SELECT 1 ) UNION ALL ( SELECT 2 )"),
        ("VALUES (1)", "query: VALUES ( 1 )"),
        ("SET 'a.b' = 'c'", "set a.b=c"),
        ("RESET", "reset None"),
        ("RESET 'a'", "reset Some(\"a\")"),
        ("SHOW TABLES; SHOW VIEWS; SHOW FUNCTIONS", "show Tables | show Views | show Functions"),
        ("DESCRIBE a; DESC b", "describe a | describe b"),
        ("DROP TABLE a; DROP TEMPORARY VIEW IF EXISTS b", "drop a false false | drop b true true"),
        ("EXPLAIN SELECT 1", "explain {query: SELECT 1}"),
        ("EXPLAIN ANALYZE SELECT 1", "analyze {query: SELECT 1}"),
        ("EXPLAIN PLAN FOR INSERT INTO t SELECT 1", "explain {insert t []: SELECT 1}"),
        ("-- nothing\n; /* still\n nothing */ ;", ""),
        ("SELECT 'a;b' -- c;d\n;SELECT 2", "query: SELECT 'a;b' | query: SELECT 2"),
    ];
    for (text, expected) in cases {
        assert_eq!(parsed(text), expected, "{text}");
    }
}

/// Would fail if an `INSERT` of a statement set were lost.
#[test]
fn statement_sets_are_their_inserts() {
    let two = "INSERT INTO a SELECT 1; INSERT INTO b SELECT 2;";
    let expected = "insert a []: SELECT 1 | insert b []: SELECT 2";
    assert_eq!(parsed(&format!("EXECUTE STATEMENT SET BEGIN {two} END;")), expected);
    assert_eq!(parsed(&format!("BEGIN STATEMENT SET; {two} END;")), expected);
    let explained = format!("EXPLAIN STATEMENT SET BEGIN {two} END; SELECT 3");
    assert_eq!(parsed(&explained), format!("explain {{{expected}}} | query: SELECT 3"));
    let analyzed = format!("EXPLAIN ANALYZE STATEMENT SET BEGIN {two} END");
    assert_eq!(parsed(&analyzed), format!("analyze {{{expected}}}"));
}

/// Would fail if a wrong statement were guessed at, or the error pointed elsewhere.
#[test]
fn errors_point_at_what_is_wrong() {
    let cases = [
        ("FOO", "1:1 expected a statement, found `FOO`"),
        ("SELECT 1;\n DELETE FROM t", "2:2 DELETE is no statement here"),
        ("CREATE INDEX i", "1:8 expected TABLE or VIEW, found `INDEX`"),
        ("CREATE TABLE t", "1:15 expected `(`, found the end of the statement"),
        ("CREATE TABLE t (a INT)", "1:23 expected WITH, found the end of the statement"),
        ("CREATE TABLE t (a INT) PARTITIONED BY a", "1:39 expected `(`, found `a`"),
        (
            "CREATE TABLE t (a INT METADATA FROM b)",
            "1:37 expected a text in single quotes, found `b`",
        ),
        ("INSERT INTO t PARTITION (a) SELECT 1", "1:27 expected `=`, found `)`"),
        ("INSERT INTO t PARTITION (a=1, a=2) SELECT 1", "1:31 column `a` stands there twice"),
        ("CREATE TABLE t (a INT, a INT) WITH ('k'='v')", "1:24 column `a` stands there twice"),
        ("CREATE TABLE t (a INT) WITH ('k'='v', 'k'='w')", "1:39 option 'k' stands there twice"),
        ("CREATE TABLE t (a INT) WITH (k='v')", "1:30 expected a text in single quotes, found `k`"),
        ("CREATE TABLE t (a AS , b INT) WITH ('k'='v')", "1:22 expected an expression, found `,`"),
        (
            "CREATE TABLE t (a INT, PRIMARY KEY (a)) WITH ('k'='v')",
            "1:39 expected NOT ENFORCED, found `)`",
        ),
        (
            "CREATE TABLE t (a INT, PRIMARY KEY (a) NOT ENFORCED, PRIMARY KEY (a) NOT ENFORCED) WITH ('k'='v')",
            "1:54 a table has one PRIMARY KEY",
        ),
        ("CREATE VIEW v AS 1", "1:18 expected a query, found `1`"),
        ("INSERT OVERWRITE t SELECT 1", "1:18 expected INTO, found `t`"),
        ("INSERT INTO t (a, a) SELECT 1", "1:19 column `a` stands there twice"),
        ("INSERT INTO t", "1:14 expected a query, found the end of the statement"),
        ("SET a = 'b'", "1:5 expected a text in single quotes, found `a`"),
        ("RESET 'a' b", "1:11 expected the end of the statement, found `b`"),
        (
            "SHOW JOBS",
            "1:6 expected TABLES, VIEWS, FUNCTIONS, CATALOGS, DATABASES or CREATE TABLE, found `JOBS`",
        ),
        ("EXPLAIN SHOW TABLES", "1:9 expected a query or an INSERT, found `SHOW`"),
        ("EXPLAIN EXPLAIN SELECT 1", "1:9 expected a query or an INSERT, found `EXPLAIN`"),
        ("SELECT 'open", "1:8 Unterminated string literal"),
        ("END", "1:1 there is no statement set to END"),
        ("BEGIN STATEMENT SET; INSERT INTO a SELECT 1", "1:1 the statement set is not closed"),
        (
            "BEGIN STATEMENT SET INSERT INTO a SELECT 1; END",
            "1:21 expected the end of the statement, found `INSERT`",
        ),
        ("EXECUTE STATEMENT SET BEGIN SELECT 1; END", "1:29 a statement set holds INSERTs only"),
        (
            "BEGIN STATEMENT SET; BEGIN STATEMENT SET; END",
            "1:22 a statement set cannot hold another one",
        ),
    ];
    for (text, expected) in cases {
        let error = parse(text).err().unwrap_or_else(|| panic!("{text} was read"));
        let place = match error.places() {
            [thalweg_types::Place::Sql { line, column, .. }] => format!("{line}:{column}"),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(format!("{place} {error}"), expected, "{text}");
    }
}

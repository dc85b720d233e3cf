use super::*;
use crate::tokens::{parser, tokenize};

fn rewritten(text: &str) -> String {
    let tokens = tokens(&tokenize(text).unwrap());
    let text: Vec<String> = tokens.iter().map(|token| token.token.to_string()).collect();
    text.join(" ")
}

fn query(text: &str) -> Result<String> {
    let mut query = parser(&tokens(&tokenize(text).unwrap())).parse_query().unwrap();
    Unnests::default().rewrite(&mut query)?;
    Ok(query.to_string())
}

/// Would fail if a word of Flink's dialect reached a parser that does not know it.
#[test]
fn tokens_become_what_the_parser_knows() {
    let cases = [
        ("TUMBLE(TABLE bid, x)", "TUMBLE ( ( SELECT * FROM bid ) , x )"),
        ("TUMBLE(DATA => TABLE a.`b`, x)", "TUMBLE ( DATA => ( SELECT * FROM a . `b` ) , x )"),
        (
            "SESSION(TABLE bid PARTITION BY k, j, DESCRIPTOR(t))",
            "SESSION ( ( SELECT * FROM bid CLUSTER BY k , j ) , DESCRIPTOR ( t ) )",
        ),
        (
            "SESSION(DATA => TABLE bid PARTITION BY (k, j), TIMECOL => DESCRIPTOR(t))",
            "SESSION ( DATA => ( SELECT * FROM bid CLUSTER BY k , j ) , TIMECOL => DESCRIPTOR ( t ) )",
        ),
        ("CAST(a AS TIMESTAMP(3) WITH LOCAL TIME ZONE)", "CAST ( a AS TIMESTAMP_LTZ ( 3 ) )"),
        ("CAST(a AS TIMESTAMP WITH LOCAL TIME ZONE)", "CAST ( a AS TIMESTAMP_LTZ )"),
        ("TIMESTAMP '2020-01-01'", "CAST ( '2020-01-01' AS TIMESTAMP ( 0 ) )"),
        (
            "TIMESTAMP '2020-01-01 10:20:30.5'",
            "CAST ( '2020-01-01 10:20:30.5' AS TIMESTAMP ( 1 ) )",
        ),
        (
            "1.50 + .5 + 1e3 + 2",
            "CAST ( '1.50' AS DECIMAL ( 3 , 2 ) ) + CAST ( '.5' AS DECIMAL ( 1 , 1 ) ) + 1e3 + 2",
        ),
        ("INTERVAL '-1 2:30' DAY(2) TO MINUTE", "INTERVAL '-1 DAY -2 HOUR -30 MINUTE'"),
        ("INTERVAL '2' QUARTER", "INTERVAL '6' MONTH"),
        ("INTERVAL '1' DAY TO YEAR", "INTERVAL '1' DAY TO YEAR"),
        ("CAST(a AS ROW<b INT>)", "CAST ( a AS `ROW < b INT >` )"),
        ("FROM (t) AS row(a, b)", "FROM ( t ) AS row ( a , b )"),
        ("(a, f(b)) OVERLAPS (c, d)", "overlaps ( a , f ( b ) , c , d )"),
        (
            "x BETWEEN SYMMETRIC CASE WHEN a AND b THEN 1 END AND 2",
            "x BETWEEN symmetric ( CASE WHEN a AND b THEN 1 END ) AND 2",
        ),
        ("TRIM(BOTH FROM a)", "TRIM ( BOTH ' ' FROM a )"),
        ("JSON_OBJECTAGG(KEY k VALUE v)", "JSON_OBJECTAGG ( k VALUE v )"),
        ("FROM TABLE(x)", "FROM TABLE ( x )"),
        ("`TABLE` x", "`TABLE` x"),
        ("TABLE", "TABLE"),
        ("SESSION(TABLE bid PARTITION BY", "SESSION ( ( SELECT * FROM bid CLUSTER BY )"),
    ];
    for (text, expected) in cases {
        assert_eq!(rewritten(text), expected, "{text}");
    }
}

/// Would fail if an error about a rewritten query pointed beside the user's text.
#[test]
fn tokens_keep_their_places() {
    let tokens = tokens(&tokenize("TUMBLE(TABLE bid,\n DESCRIPTOR(t))").unwrap());
    let bid = tokens.iter().find(|token| is_word(token, "bid")).unwrap();
    assert_eq!((bid.span.start.line, bid.span.start.column), (1, 14));
    let last = tokens.last().unwrap();
    assert_eq!((last.span.start.line, last.span.start.column), (2, 15));
}

/// Would fail if two columns of a result had one name, or a name changed without need.
#[test]
fn columns_are_named_apart() {
    let cases = [
        ("SELECT a, b FROM t", "SELECT a, b FROM t"),
        ("SELECT a, a FROM t", "SELECT a, a AS \"a0\" FROM t"),
        ("SELECT t.a, u.a, a0 FROM t", "SELECT t.a, u.a AS \"a0\", a0 AS \"a00\" FROM t"),
        ("SELECT a, CAST(a AS INT) FROM t", "SELECT a, CAST(a AS INT) AS \"EXPR$1\" FROM t"),
        (
            "SELECT a + 1, t.a + 1 FROM t",
            "SELECT a + 1 AS \"EXPR$0\", t.a + 1 AS \"EXPR$1\" FROM t",
        ),
        ("SELECT a AS b, b FROM t", "SELECT a AS b, b AS \"b0\" FROM t"),
        ("SELECT * FROM (SELECT 1, 1)", "SELECT * FROM (SELECT 1 AS \"EXPR$0\", 1 AS \"EXPR$1\")"),
    ];
    for (text, expected) in cases {
        assert_eq!(query(text).unwrap(), expected, "{text}");
    }
}

/// Would fail if an array beside a table were planned as a join, or only half understood.
#[test]
fn unnested_arrays_become_table_functions() {
    let call = |relation: &str| {
        format!("SELECT w FROM TABLE(__thalweg_unnest(0, (SELECT * FROM {relation})))")
    };
    for join in
        ["CROSS JOIN UNNEST(a) AS t(w)", ", UNNEST(a) AS t(w)", "JOIN UNNEST(a) AS t(w) ON TRUE"]
    {
        assert_eq!(query(&format!("SELECT w FROM r {join}")).unwrap(), call("r"), "{join}");
    }
    let refused = [
        ("LEFT JOIN UNNEST(a) AS t(w) ON TRUE", "this kind of join"),
        ("CROSS JOIN UNNEST(a) WITH ORDINALITY AS t(w, n)", "WITH ORDINALITY"),
        ("CROSS JOIN UNNEST(a, b) AS t(w, n)", "more than one array"),
    ];
    for (join, expected) in refused {
        let error = query(&format!("SELECT w FROM r {join}")).unwrap_err();
        assert!(error.message().contains(expected), "{join}: {error:?}");
    }
}

/// Would fail if a forgotten operand made `FROM` a column.
#[test]
fn from_is_no_operand() {
    let checked = |text: &str| check(&tokenize(text).unwrap());
    for text in ["SELECT a, FROM t", "SELECT a + FROM t", "SELECT a = FROM t"] {
        let error = checked(text).unwrap_err();
        assert_eq!(error.message(), "expected an expression, found `FROM`", "{text}");
    }
    for text in ["SELECT * FROM t", "SELECT EXTRACT(HOUR FROM a), `FROM` FROM t"] {
        assert!(checked(text).is_ok(), "{text}");
    }
}

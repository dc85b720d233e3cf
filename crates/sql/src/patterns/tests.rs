use thalweg_plan::pattern::VariableId;

use super::pattern::{loosened, read};
use crate::test_support::{explained, refused};
use crate::tokens::{Tokens, tokenize};

/// Returns a pattern as it was understood.
fn understood(text: &str) -> String {
    let tokens = loosened(&tokenize(text).unwrap());
    let mut rest = Tokens::new(&tokens);
    let written = read(&mut rest).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    assert!(rest.is_at_end(), "{text}");
    let name = |id: VariableId| written.variables[id.index()].value.clone();
    written.pattern.text(&name)
}

/// Would fail if a part of a pattern were read as another one, as operators of JSON are.
#[test]
fn patterns_are_read_as_the_standard_writes_them() {
    let cases = [
        ("(A)", "A"),
        ("(A B+ C* D?)", "A B+ C* D?"),
        ("(A*? B+? C?? D{2}?)", "A*? B+? C?? D{2}?"),
        ("(A{2} B{2,} C{2,3} D{,3} E{0,1})", "A{2} B{2,} C{2,3} D{,3} E?"),
        ("(A | B C | D)", "A | B C | D"),
        ("(A?|B)", "A? | B"),
        ("(A??|B)", "A?? | B"),
        ("((A | B) C)", "(A | B) C"),
        ("((A B)+ (C | D){2,3}?)", "(A B)+ (C | D){2,3}?"),
        ("(A {- B -} C)", "A {- B -} C"),
        ("(A {- B+ C? -})", "A {- B+ C? -}"),
        ("(A {-B?-} {-C|D-}+)", "A {- B? -} {- C | D -}+"),
        ("(PERMUTE(A, B C, D))", "PERMUTE(A, B C, D)"),
        ("(permute(A, B)*)", "PERMUTE(A, B)*"),
        ("(PERMUTE A)", "PERMUTE A"),
        ("(^ A () B $)", "^ A () B $"),
        ("(`a b` \"c\")", "a b c"),
        ("(A B A)", "A B A"),
    ];
    for (text, expected) in cases {
        assert_eq!(understood(text), expected, "{text}");
    }
}

/// Would fail if a script could exhaust the stack.
#[test]
fn patterns_nest_so_deep_and_no_deeper() {
    let nested = |depth: usize| format!("{}A{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(understood(&nested(60)), "A");
    let tokens = tokenize(&nested(100_000)).unwrap();
    let error = read(&mut Tokens::new(&tokens)).unwrap_err();
    assert_eq!(error.message(), "the pattern is nested too deep");
}

/// Would fail if a clause were found only behind the name of a table.
#[test]
fn any_relation_is_searched() {
    let search = "MATCH_RECOGNIZE (PARTITION BY auction ORDER BY `dateTime` MEASURES A.price AS p \
                  PATTERN (A B) DEFINE A AS price > 1)";
    let queries = [
        format!("SELECT * FROM bid {search}"),
        format!("SELECT p FROM bid {search} AS m"),
        format!("SELECT a, b FROM bid {search} AS m (a, b)"),
        format!("SELECT * FROM (SELECT * FROM bid WHERE price > 5) {search}"),
        format!("WITH b AS (SELECT * FROM bid) SELECT * FROM b {search} m"),
        format!("CREATE VIEW v AS SELECT * FROM bid; SELECT * FROM v {search}"),
        format!("CREATE VIEW v AS SELECT * FROM bid {search}; SELECT p FROM v WHERE p > 7"),
        format!("SELECT m.p, n FROM plain JOIN bid {search} AS m ON m.p = n"),
        format!("SELECT m.p, n FROM bid {search} AS m, plain WHERE m.p = n"),
        format!(
            "SELECT * FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' DAY)) {search}"
        ),
        format!("SELECT auction FROM plain WHERE n IN (SELECT p FROM bid {search})")
            .replace("SELECT auction", "SELECT n"),
        format!("SELECT p FROM bid {search} UNION ALL SELECT p FROM bid {search}"),
    ];
    for query in queries {
        let plan = explained(&query);
        assert!(plan.contains("Match "), "{query}\n{plan}");
    }
}

/// Would fail if what follows a search lost its time, or had one that the watermark is ahead of.
#[test]
fn windows_follow_a_search_that_says_how_long_it_takes() {
    let windows = |rows: &str, pattern: &str| {
        format!(
            "SELECT window_start, COUNT(*) FROM TABLE(TUMBLE((SELECT * FROM bid MATCH_RECOGNIZE (\
             ORDER BY `dateTime` MEASURES MATCH_ROWTIME() AS ts, A.price AS p {rows} PATTERN {pattern} \
             DEFINE A AS price > 1)), DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end"
        )
    };
    for pattern in ["(A B)", "(A B{3} (C D | E F))", "(A+) WITHIN INTERVAL '1' MINUTE"] {
        assert!(explained(&windows("", pattern)).contains("WindowAggregate"), "{pattern}");
    }
    for (rows, pattern) in [("", "(A+)"), ("", "(A B*? C)"), ("ALL ROWS PER MATCH", "(A B)")] {
        let expected = "[SELECT] column `ts` may come long behind the watermark; bound how long a match \
                        may take: PATTERN (…) WITHIN INTERVAL …";
        assert_eq!(refused(&windows(rows, pattern)), expected, "{rows} {pattern}");
    }
}

/// Would fail if a wrong clause were planned, or if its error pointed elsewhere or said nothing of a way out.
#[test]
fn what_cannot_be_searched_is_refused_at_its_place() {
    let of_one_row = "of such calls only FIRST and LAST stand within others: PREV(LAST(A.a), 2)";
    let several = "a value of one row that names columns of several variables; write LAST(A.a) * LAST(B.b) \
                   instead of LAST(A.a * B.b)";
    let define = "ORDER BY `dateTime` MEASURES A.price AS p PATTERN (A B) DEFINE A AS";
    let cases = [
        ("MEASURES A.price AS p PATTERN (A)", "[MATCH_RECOGNIZE] MATCH_RECOGNIZE without an order of its rows; add ORDER BY with the time of the table's WATERMARK, or one that is PROCTIME()".to_owned()),
        ("ORDER BY price MEASURES A.price AS p PATTERN (A)", "[price] ORDER BY `price` of MATCH_RECOGNIZE is no time attribute; declare WATERMARK FOR price AS … on its table, or order by a column that is PROCTIME()".to_owned()),
        ("ORDER BY price, `dateTime` MEASURES A.price AS p PATTERN (A)", "[price] ORDER BY `price` of MATCH_RECOGNIZE is no time attribute; declare WATERMARK FOR price AS … on its table, or order by a column that is PROCTIME()".to_owned()),
        ("ORDER BY `dateTime` DESC PATTERN (A)", "[`dateTime`] rows are matched in the order of time, not against it; leave DESC out".to_owned()),
        ("ORDER BY `dateTime` PATTERN (A)", "[MATCH_RECOGNIZE] the result of MATCH_RECOGNIZE has no columns; add MEASURES A.price AS price, or ALL ROWS PER MATCH".to_owned()),
        ("PARTITION BY price + 1 ORDER BY `dateTime` PATTERN (A)", "[price + 1] PARTITION BY `price + 1` is no column; compute it as a column of a sub-query, and search that".to_owned()),
        ("PARTITION BY prize ORDER BY `dateTime` PATTERN (A)", "[prize] there is no column `prize`; did you mean `price`?".to_owned()),
        ("ORDER BY `dateTime` MEASURES A.price PATTERN (A)", "[PATTERN] expected AS, found `PATTERN`".to_owned()),
        ("ORDER BY `dateTime` MEASURES C.price AS p PATTERN (A)", "[C] the pattern has no variable `C`; it has A".to_owned()),
        ("ORDER BY `dateTime` MEASURES A.prize AS p PATTERN (A)", "[prize] there is no column `prize`; did you mean `price`?".to_owned()),
        ("ORDER BY `dateTime` MEASURES 1 AS p, 2 AS p PATTERN (A)", "[p] two columns of the result are called `p`; give the measure another name".to_owned()),
        ("PARTITION BY price ORDER BY `dateTime` MEASURES 1 AS price PATTERN (A)", "[price] two columns of the result are called `price`; leave the measure out: the column is in the result anyway".to_owned()),
        ("ORDER BY `dateTime` MEASURES SUM(A.price) OVER () AS p PATTERN (A)", "[SUM] OVER within MATCH_RECOGNIZE; leave OVER out: an aggregate is over rows of the match".to_owned()),
        ("ORDER BY `dateTime` MEASURES FINAL ABS(price) AS p PATTERN (A)", "[FINAL ABS] FINAL and RUNNING mean nothing before ABS; write them before FIRST, LAST or an aggregate".to_owned()),
        ("ORDER BY `dateTime` MEASURES PREV(LAST(CLASSIFIER())) AS p PATTERN (A)", "[PREV] PREV may lead to a row that has no variable; ask FIRST or LAST for the CLASSIFIER of a row of the match".to_owned()),
        ("ORDER BY `dateTime` MEASURES 1 AS p ONE ROW PATTERN (A)", "[PATTERN] expected ROW PER MATCH, found `ROW`".replace("[PATTERN]", "[ROW]")),
        ("ORDER BY `dateTime` ALL ROWS PER MATCH WITH UNMATCHED ROWS PATTERN (A {- B -})", "[MATCH_RECOGNIZE] unmatched rows beside rows that are excluded; leave out WITH UNMATCHED ROWS, or the exclusion {- … -}".to_owned()),
        ("ORDER BY `dateTime` MEASURES 1 AS p AFTER MATCH SKIP TO C PATTERN (A)", "[C] the pattern has no variable `C`; it has A".to_owned()),
        ("ORDER BY `dateTime` MEASURES 1 AS p AFTER MATCH SKIP TO FIRST A PATTERN (A+ B)", "[A] AFTER MATCH SKIP TO FIRST A, and A begins each match: the search would not go on; write AFTER MATCH SKIP TO NEXT ROW, or name a later variable".to_owned()),
        ("ORDER BY `dateTime` MEASURES 1 AS p PATTERN ()", "[)] expected a variable of the pattern, found `)`".to_owned()),
        ("ORDER BY `dateTime` MEASURES 1 AS p PATTERN (A ||  B)", "[||] expected a variable of the pattern, found `||`".to_owned()),
        ("ORDER BY `dateTime` MEASURES 1 AS p PATTERN (A{3,2})", "[{] 3 times at least and 2 at most; write the smaller number first".to_owned()),
        ("ORDER BY `dateTime` MEASURES 1 AS p PATTERN (A{0})", "[{] a part of a pattern is there 0 times; leave the part out".to_owned()),
        ("ORDER BY `dateTime` MEASURES 1 AS p PATTERN (A) WITHIN INTERVAL '0' SECOND", "[INTERVAL] no match is within 0 seconds; use a longer INTERVAL, or leave WITHIN out".to_owned()),
        ("ORDER BY `dateTime` MEASURES 1 AS p PATTERN (A) SUBSET A = (A)", "[A] `A` is a variable or subset already; give the subset another name".to_owned()),
        ("ORDER BY `dateTime` MEASURES 1 AS p PATTERN (A) SUBSET U = (A), V = (U)", "[U] the pattern has no variable `U`; a SUBSET is one of variables".to_owned()),
        ("ORDER BY `dateTime` MEASURES 1 AS p PATTERN (A) DEFINE B AS price > 1", "[B] the pattern has no variable `B`; it has A".to_owned()),
        ("ORDER BY `dateTime` MEASURES 1 AS p PATTERN (A) DEFINE A AS price > 1, A AS price < 2", "[A] `A` is defined twice; join its conditions by AND".to_owned()),
        (&format!("{define} price"), "[price] a condition that is neither true nor false".to_owned()),
        (&format!("{define} LAST(SUM(price)) > 1"), format!("[SUM] SUM in a value of one row; {of_one_row}")),
        (&format!("{define} LAST(PREV(price)) > 1"), format!("[PREV] PREV in a value of one row; {of_one_row}")),
        (&format!("{define} PREV(NEXT(price)) > 1"), format!("[NEXT] NEXT in a value of one row; {of_one_row}")),
        (&format!("{define} SUM(A.price * B.cents) > 1"), format!("[B] {several}")),
        (&format!("{define} LAST(A.price * cents) > 1"), format!("[cents] {several}")),
        (&format!("{define} FINAL LAST(price) > 1"), "[FINAL LAST] LAST in a condition is of what comes behind its row, too; leave FINAL out, or ask for it in MEASURES".to_owned()),
        (&format!("{define} LAST(price, cents) > 1"), "[cents] `cents` is no whole number of rows from 0 on; write a number, as in LAST(A.price, 1)".to_owned()),
        (&format!("{define} price > (SELECT MAX(n) FROM plain)"), "[SELECT MAX(n) FROM plain] a sub-query within MATCH_RECOGNIZE; join before or behind the search for the pattern".to_owned()),
        (&format!("{define} `dateTime` < LOCALTIMESTAMP"), "[`dateTime` < LOCALTIMESTAMP] the condition of A, `dateTime < localtimestamp()`, reads the clock; compare times of the rows".to_owned()),
    ];
    let wrong = cases.into_iter().filter_map(|(clause, expected)| {
        let refused = refused(&format!("SELECT *\nFROM bid MATCH_RECOGNIZE (\n{clause}\n)"));
        (refused != expected).then(|| format!("{clause}\n  {refused}\n  {expected}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unnamed = "SELECT * FROM bid AS b\nMATCH_RECOGNIZE (ORDER BY `dateTime` PATTERN (A))";
    assert!(
        refused(unnamed).starts_with("[b] a name between a table and MATCH_RECOGNIZE; name the")
    );
    let nothing = "SELECT * FROM\nMATCH_RECOGNIZE (ORDER BY `dateTime` PATTERN (A))";
    assert!(
        refused(nothing).starts_with("[MATCH_RECOGNIZE] MATCH_RECOGNIZE without a table before it")
    );
    let updated = "CREATE VIEW v AS SELECT auction, MAX(`dateTime`) AS t FROM bid GROUP BY auction;\n\
                   SELECT * FROM v MATCH_RECOGNIZE (ORDER BY t MEASURES 1 AS p PATTERN (A))";
    assert!(refused(updated).contains("is no time attribute"));
}

/// Would fail if two operands that are written alike were one.
#[test]
fn operands_of_one_text_are_told_apart() {
    let plan = explained(
        "CREATE VIEW v AS SELECT price AS `A.price`, cents AS price, `dateTime` FROM bid; \
         SELECT * FROM v MATCH_RECOGNIZE (ORDER BY `dateTime` MEASURES A.price AS a, `A.price` AS b \
         PATTERN (A) DEFINE A AS A.price > 1 AND `A.price` > 2)",
    );
    assert!(plan.contains("project A.price, A.price'"), "{plan}");
}

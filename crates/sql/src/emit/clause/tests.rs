use thalweg_plan::pane::Accumulation;

use super::*;
use crate::tokens::tokenize;

/// Knows one table, and intervals of whole seconds.
struct Fixed;

impl Surroundings for Fixed {
    fn span(&self, interval: &[TokenWithSpan]) -> Result<Duration> {
        match &interval.get(1).map(|token| &token.token) {
            Some(Token::SingleQuotedString(text)) => {
                let seconds = text.parse().map_err(|_| Error::invalid("no span"))?;
                Ok(Duration::from_secs(seconds))
            }
            other => panic!("{other:?} is no text"),
        }
    }

    fn columns(&self, table: &str) -> Result<Vec<String>> {
        match table {
            "late" => Ok(vec!["k".to_owned()]),
            _ => Err(Error::invalid("there is no such table")),
        }
    }
}

/// Returns what is left of a query, and what its clause asks for.
fn read(text: &str) -> Result<(String, Vec<Emit>)> {
    let (tokens, emits) = take(&tokenize(text).unwrap(), &Fixed)?;
    let left: Vec<String> = tokens.iter().map(|token| token.token.to_string()).collect();
    Ok((left.join(" "), emits.all()))
}

fn options(text: &str) -> Options {
    let (left, emits) = read(&format!("SELECT a FROM t GROUP BY a EMIT {text}")).unwrap();
    assert_eq!(left, "SELECT a FROM t GROUP BY a");
    match emits.as_slice() {
        [Emit { mode: Mode::Watermark(options), .. }] => options.clone(),
        other => panic!("{other:?}"),
    }
}

/// Would fail if a part of the clause were read as another one, or not at all.
#[test]
fn every_part_of_the_clause_is_read() {
    assert_eq!(options("AFTER WATERMARK"), Options::default());
    let all = options(
        "AFTER WATERMARK AT PERCENTILE 0.95 WITH EARLY EVERY INTERVAL '60' SECOND WITH LATE EVERY 3 ROWS
         RETRACTING ALLOWED LATENESS INTERVAL '3600' SECOND(2) TO SECOND LATE INTO late",
    );
    let expected = Options {
        percentile: "0.95".parse().ok(),
        of_each_key: None,
        early: Some(Every::Span(Duration::from_secs(60))),
        late: Some(Every::Rows(3)),
        accumulation: Some(Accumulation::Retracting),
        lateness: Duration::from_secs(3600),
        late_into: Some(("late".to_owned(), vec!["k".to_owned()])),
    };
    assert_eq!(all, expected);
    let one = options("after watermark with early every 1 row discarding");
    assert_eq!(one.early, Some(Every::Rows(1)));
    assert_eq!(one.accumulation, Some(Accumulation::Discarding));
}

/// Would fail if a clause were taken for that of another query, or a column for a clause.
#[test]
fn a_clause_belongs_to_the_query_that_it_ends() {
    let text = "WITH w AS (SELECT a FROM t GROUP BY a EMIT FINAL)
         SELECT b FROM (SELECT emit AS b FROM w GROUP BY emit EMIT CHANGES) GROUP BY b EMIT FINAL";
    let (left, emits) = read(text).unwrap();
    assert_eq!(
        left,
        "WITH w AS ( SELECT a FROM t GROUP BY a ) SELECT b FROM ( SELECT emit AS b FROM w GROUP BY \
         emit ) GROUP BY b"
    );
    let modes: Vec<Mode> = emits.into_iter().map(|emit| emit.mode).collect();
    assert_eq!(modes, [Mode::Final, Mode::Final, Mode::Changes]);
    assert!(read("SELECT emit, a FROM t").unwrap().1.is_empty());
}

/// Would fail if a mistake in the clause were passed over.
#[test]
fn mistakes_in_the_clause_are_errors() {
    for (text, expected) in [
        ("AFTER", "expected WATERMARK"),
        ("AFTER WATERMARK WITH EARLY 1 ROWS", "expected EVERY"),
        ("AFTER WATERMARK WITH EARLY EVERY 1 MINUTE", "expected ROWS"),
        ("AFTER WATERMARK WITH EARLY EVERY INTERVAL 1 MINUTE", "expected a text"),
        ("AFTER WATERMARK WITH EARLY EVERY 0 ROWS", "panes every 0 rows"),
        ("AFTER WATERMARK WITH EARLY EVERY INTERVAL '0' SECOND", "panes every 0 seconds"),
        ("AFTER WATERMARK WITH LATE EVERY 1 ROW", "WITH LATE without ALLOWED LATENESS"),
        ("AFTER WATERMARK LATE INTO nowhere", "there is no such table"),
        ("AFTER WATERMARK AT PERCENTILE 1.5", "`1.5` is no share"),
        ("AFTER WATERMARK AT PERCENTILE ROWS", "expected a number"),
        ("AFTER WATERMARK RETRACTING WITH EARLY EVERY 1 ROW", "expected the end of the query"),
        ("FINAL CHANGES", "expected the end of the query"),
    ] {
        let error = read(&format!("SELECT a FROM t GROUP BY a EMIT {text}")).unwrap_err();
        assert!(error.message().starts_with(expected), "{text}: {}", error.message());
        assert_eq!(error.places().len(), 1, "{text}");
    }
    let error = read("SELECT a FROM t UNION ALL SELECT a FROM u EMIT FINAL").unwrap_err();
    assert!(error.message().starts_with("EMIT stands behind the GROUP BY of one SELECT"));
    assert!(read("VALUES (1) EMIT FINAL").is_err());
}

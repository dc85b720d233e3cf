use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use std::sync::Arc;

use super::super::*;
use crate::formats::json_dialect::Standard;
use crate::random;

/// Numbers of one seed, one after the other.
struct Rng(u64, u64);

impl Rng {
    fn new(seed: u64) -> Rng {
        Rng(seed << 32, 0)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.1 += 1;
        random::bits(self.0 + self.1, 0) % bound
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("whole", DataType::Int32, true),
        Field::new("large", DataType::Int64, false),
        Field::new("float", DataType::Float64, true),
        Field::new("truth", DataType::Boolean, true),
        Field::new("text", DataType::Utf8View, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]))
}

/// Values of JSON, in any order: each may come for each column.
const VALUES: &[&str] = &[
    "0",
    "1",
    "-1",
    "-0",
    "01",
    "2147483647",
    "2147483648",
    "-2147483649",
    "9223372036854775807",
    "9223372036854775808",
    "1234567",
    "12345678",
    "123456789",
    "1234567:",
    "1234567/",
    "1234567890123456",
    "123456789012345678",
    "1234567890123456789",
    "1.5",
    "1.",
    ".5",
    "-0.0",
    "1e3",
    "1E-2",
    "1e",
    "1e400",
    "1e-400",
    "+1",
    "null",
    "nul",
    "true",
    "false",
    "truth",
    "\"\"",
    "\"7\"",
    "\"true\"",
    "\"plain\"",
    "\"eight by\"",
    "\"nine by t\"",
    "\"a \\\"quoted\\\" text\"",
    "\"ends in \\\\\"",
    "\"\\u00e9\"",
    "\"é, and a longer text with 日本 in it\"",
    "\"tab\there\"",
    "\"open",
    "\"open\t",
    "\"open\\",
    "\"2020-04-15 08:05:00\"",
    "\"2020-04-15T08:05:00.123\"",
    "\"2020-04-31 08:05:00\"",
    "\"2020-04-15 08:05:00.5Z\"",
    "{}",
    "{\"a\": [1, \"}\"]}",
    "[1, 2]",
    "[",
    "",
];

const KEYS: &[&str] = &["whole", "large", "float", "truth", "text", "at", "other", "wh\\u006fle"];

/// Returns in how many of ten layouts a field is. One column may not be NULL, and the last key is one of
/// the others, with an escape.
fn usually(key: &str) -> u64 {
    match key {
        "large" => 9,
        "wh\\u006fle" => 2,
        _ => 8,
    }
}

/// Returns the usual value of a field, or any.
fn value(key: &str, random: &mut Rng) -> &'static str {
    let usual: &[&str] = match key {
        "whole" | "large" => &["5", "-71", "65536"],
        "float" => &["2.5", "3", "-1e2"],
        "truth" => &["true", "false"],
        "text" => &["\"a\"", "\"some text of more than eight\"", "null"],
        "at" => &["\"2020-04-15 08:05:00.250\"", "\"2021-12-31 23:59:59\""],
        _ => &["\"x\"", "9.75", "null", "true"],
    };
    let all = if random.below(8) == 0 { VALUES } else { usual };
    all[random.below(all.len() as u64) as usize]
}

fn line(keys: &[&str], random: &mut Rng) -> String {
    let (comma, colon) = [(",", ":"), (", ", ": ")][random.below(2) as usize];
    let fields = keys.iter().map(|key| format!("\"{key}\"{colon}{}", value(key, random)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(comma))
}

/// Would fail if an object that is laid out as one before it became another row than the parser
/// makes of it, or were taken where the parser refuses it.
#[test]
fn repeated_layouts_change_nothing() {
    let (mut good, mut wrong) = (0, 0);
    for seed in 0..300 {
        let mut random = Rng::new(seed);
        let layouts: Vec<Vec<&str>> = (0..3)
            .map(|_| KEYS.iter().filter(|key| random.below(10) < usually(key)).copied().collect())
            .collect();
        let lines: Vec<String> =
            (0..60).map(|_| line(&layouts[random.below(3) as usize], &mut random)).collect();
        let dialect = JsonDialect {
            is_lenient: random.below(4) == 0,
            times: [Standard::Any, Standard::Sql, Standard::Iso][random.below(3) as usize],
            ..JsonDialect::default()
        };
        let new = || JsonDecoder::new(dialect, &schema(), &[4, 0, 1, 5, 2, 3]).unwrap();
        let decoded = new().decode(&Buffer::from(lines.join("\n").into_bytes())).unwrap();
        // A decoder that saw no line before has no layout to go by.
        let (mut rows, mut bad) = (Vec::new(), Vec::new());
        for line in &lines {
            let alone = new().decode(&Buffer::from(line.as_bytes())).unwrap();
            rows.push(alone.rows.rows);
            bad.extend(alone.bad.into_iter().map(|bad| bad.error));
        }
        let expected = arrow::compute::concat_batches(&decoded.rows.rows.schema(), &rows).unwrap();
        assert_eq!(decoded.rows.rows, expected, "seed {seed}");
        let errors: Vec<String> = decoded.bad.into_iter().map(|bad| bad.error).collect();
        assert_eq!(errors, bad, "seed {seed}");
        (good, wrong) = (good + expected.num_rows(), wrong + errors.len());
    }
    assert!(good > 4_000 && wrong > 4_000, "{good} good rows and {wrong} bad ones were compared");
}

/// Would fail if a usual line went to the parser: then all of this would be for nothing.
#[test]
fn usual_lines_are_not_parsed_again() {
    let schema = schema();
    let line = r#"{"whole": 1, "large": -20, "text": "some text here", "other": [], "at": null}"#;
    let line = line.replace("[]", "1.5");
    let mut decoder = JsonDecoder::new(JsonDialect::default(), &schema, &[0, 1, 4, 5]).unwrap();
    decoder.decode(&Buffer::from(line.as_bytes())).unwrap();
    assert_eq!(decoder.layouts.known.len(), 1);
    let next = line.replace("some text", "a\\u0020text");
    for (line, is_repeated) in [(&line, true), (&next, false), (&line.replace("-20", "7"), true)] {
        assert_eq!(decoder.repeated(line, 0), is_repeated, "{line}");
    }
}

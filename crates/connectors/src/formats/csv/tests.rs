use arrow::datatypes::{Field, TimeUnit};
use arrow::util::display::array_value_to_string;

use super::*;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8View, true),
        Field::new("n", DataType::Int32, true),
        Field::new("x", DataType::Float64, true),
        Field::new("price", DataType::Decimal128(6, 2), true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("flag", DataType::Boolean, false),
    ]))
}

fn decoder(options: &[(&str, &str)], columns: &[usize]) -> CsvDecoder {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    CsvDecoder::new(&Options(options.collect()), &schema(), columns).unwrap()
}

fn rows(decoded: &Decoded) -> Vec<String> {
    let rows = &decoded.rows.rows;
    let row = |row| {
        let cells = rows.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
        cells.collect::<Vec<_>>().join("|")
    };
    (0..rows.num_rows()).map(row).collect()
}

#[test]
fn fields_become_values() {
    let text = "plain,1,2.5,3.14,2020-04-15 08:05:00.123,true\r\n\
                \"a \"\"quoted\"\", one\nand more\", -7 ,1e3,0.5,2020-04-15T08:05:00Z,FALSE\n\
                ,,,,,false";
    let decoded = decoder(&[], &[0, 1, 2, 3, 4, 5]).decode(&Buffer::from(text.as_bytes())).unwrap();
    assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
    assert_eq!(
        rows(&decoded),
        [
            "plain|1|2.5|3.14|2020-04-15T08:05:00.123|true",
            "a \"quoted\", one\nand more|-7|1000.0|0.50|2020-04-15T08:05:00|false",
            "|||||false",
        ]
    );
    assert!(!decoded.rows.rows.column(0).is_null(2), "an empty text is a text");
    assert!(decoded.rows.rows.column(1).is_null(2));
}

/// Would fail if a bad record took a neighbour along, or left a value behind.
#[test]
fn a_bad_record_stands_alone() {
    let text = "good,1,,,,true\nshort,1\nlong,1,,,,true,x\nbad,1x,,,,true\nnull,1,,,,\n\
                wide,3000000000,,,,true\n\"open,1\nfine,2,,,,true";
    let decoded = decoder(&[], &[1, 0]).decode(&Buffer::from(text.as_bytes())).unwrap();
    assert_eq!(rows(&decoded), ["1|good", "1|null"], "what is not read is not checked");
    let errors: Vec<&str> = decoded.bad.iter().map(|bad| bad.error.as_str()).collect();
    assert_eq!(
        errors,
        [
            "expected 6 fields, found 2",
            "expected 6 fields, found 7",
            "column `n`: expected an INT, found 1x",
            "column `n`: expected an INT, found 3000000000",
            "a quote is not closed",
        ]
    );
    assert_eq!(decoded.bad[1].record, b"long,1,,,,true,x");
    assert_eq!(&text[decoded.bad[2].offset..][..3], "bad");
    let decoded = decoder(&[], &[5]).decode(&Buffer::from(b"null,1,,,,\n")).unwrap();
    assert_eq!(decoded.bad[0].error, "column `flag`: NULL in a NOT NULL column");
}

#[test]
fn options_are_obeyed() {
    let options = [
        ("csv.field-delimiter", ";"),
        ("csv.quote-character", "'"),
        ("csv.null-literal", "n/a"),
        ("csv.allow-comments", "true"),
        ("csv.header", "true"),
    ];
    let mut decoder = decoder(&options, &[0, 1]);
    let text = "name;n;x;price;at;'fl\nag'\n# nothing\n'it''s; me';1;;;;true\nn/a;n/a;;;;true\n";
    let skip = decoder.header(text.as_bytes());
    assert!(text[skip..].starts_with("# nothing"));
    let decoded = decoder.decode(&Buffer::from(&text.as_bytes()[skip..])).unwrap();
    assert_eq!(rows(&decoded), ["it's; me|1", "|"]);
    assert!(decoded.rows.rows.column(0).is_null(1));
}

#[test]
fn a_block_ends_with_a_record() {
    let decoder = decoder(&[], &[0]);
    assert_eq!(decoder.end_of_last(b"a\nb\nc"), Some(4));
    assert_eq!(decoder.end_of_last(b"a\n\"b\nc\n"), Some(2), "within quotes");
    assert_eq!(decoder.end_of_last(b"\"a\nb"), None);
}

#[test]
fn wrong_options_are_refused() {
    let refused = |key: &str, value: &str| {
        let options = Options([(key.to_owned(), value.to_owned())].into());
        CsvDecoder::new(&options, &schema(), &[0]).unwrap_err().to_string()
    };
    assert!(refused("csv.field-delimiter", "||").contains("not one ASCII character: '||'"));
    assert!(refused("csv.header", "maybe").contains("not true or false"));
}

/// Would fail if a value that was written were read as another one.
#[test]
fn what_is_written_reads_back() {
    let text = "plain,1,2.5,3.14,2020-04-15 08:05:00.123,true\n\"n/a\",,,,,false\n\
                \"a \"\"quoted\"\"; 'one'\nand more\",-7,1e3,0.5,2020-04-15T08:05:00Z,false\nn/a,2,,,,true\n";
    let read = |options: &[(&str, &str)], text: &str| {
        let decoded = decoder(options, &[0, 1, 2, 3, 4, 5]).decode(&Buffer::from(text.as_bytes()));
        let decoded = decoded.unwrap();
        assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
        decoded.rows.rows
    };
    let null = ("csv.null-literal", "n/a");
    let rows = read(&[null], text);
    let others = [("csv.field-delimiter", ";"), ("csv.quote-character", "'"), null];
    for options in [&[null][..], &others] {
        let made = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let dialect = Dialect::of(&Options(made.collect())).unwrap();
        let mut written = String::new();
        for row in 0..rows.num_rows() {
            dialect.write(&rows, row, &mut written);
            written.push('\n');
        }
        assert_eq!(read(options, &written), rows, "{written}");
    }
}

/// Would fail if a wrong field took its record along, or a NULL stood where none may.
#[test]
fn wrong_fields_are_null_where_errors_are_ignored() {
    let text = "a,1x,1e3,,,true\nb,2\nc,3,,,,false\nd,4,,,,true,x\ne,5,,,2020,false\n";
    let decode = |options: &[(&str, &str)], columns: &[usize]| {
        decoder(options, columns).decode(&Buffer::from(text.as_bytes())).unwrap()
    };
    let ignore = [("csv.ignore-parse-errors", "true")];
    let decoded = decode(&ignore, &[0, 1, 4]);
    assert_eq!(rows(&decoded), ["a||", "b|2|", "c|3|", "e|5|"]);
    assert_eq!(decoded.bad.len(), 1, "{:?}", decoded.bad);
    assert_eq!(rows(&decode(&ignore, &[0, 5])), ["a|true", "c|false", "e|false"]);
    assert_eq!(decode(&[], &[0, 1, 4]).bad.len(), 4);
}

/// Would fail if an escape were read otherwise than it is written, or a record ended at an escaped
/// quote.
#[test]
fn escapes_are_undone() {
    let quoted = [("csv.escape-character", "\\")];
    let unquoted = [("csv.escape-character", "\\"), ("csv.disable-quote-character", "true")];
    let mut one = decoder(&quoted, &[0]);
    let text = "\"a\\\"b\\\\\",1,,,,true\nc\\,d\\ne,1,,,,true\n";
    assert_eq!(one.end_of_last(text.as_bytes()), Some(text.len()));
    let decoded = one.decode(&Buffer::from(text.as_bytes())).unwrap();
    assert_eq!(rows(&decoded), ["a\"b\\", "c,d\ne"], "{:?}", decoded.bad);
    for options in [&quoted[..], &unquoted] {
        let made = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let dialect = Dialect::of(&Options(made.collect())).unwrap();
        for field in ["plain", "a\"b\\", "c,d\ne", "\\", "\r", "\"", "\"\"", "x\ty"] {
            let mut written = String::new();
            dialect.write_field(field, &mut written);
            let record = format!("{written},1,,,,true\n");
            assert_eq!(decoder(options, &[0]).end_of_last(record.as_bytes()), Some(record.len()));
            let decoded = decoder(options, &[0]).decode(&Buffer::from(record.as_bytes())).unwrap();
            assert_eq!(rows(&decoded), [field], "{record:?} {:?}", decoded.bad);
        }
    }
}

#[test]
fn without_quotes_a_quote_is_a_character() {
    let options = [("csv.disable-quote-character", "true"), ("csv.field-delimiter", "\\t")];
    let text = "\"a\t1\t\t\t\ttrue\nb\"\t2\t\t\t\ttrue\n";
    let mut one = decoder(&options, &[0, 1]);
    assert_eq!(one.end_of_last(text.as_bytes()), Some(text.len()));
    let decoded = one.decode(&Buffer::from(text.as_bytes())).unwrap();
    assert_eq!(rows(&decoded), ["\"a|1", "b\"|2"]);
    let made = Options(options.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    assert!(!Dialect::of(&made).unwrap().is_multi_line(), "files can be cut at any line feed");
}

/// Would fail if an element were lost, or could not be told from its neighbour.
#[test]
fn arrays_and_rows_have_elements() {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
    let inner =
        vec![Field::new("a", DataType::Utf8View, true), Field::new("b", DataType::Float64, true)];
    let schema = Arc::new(Schema::new(vec![
        Field::new("l", list, true),
        Field::new("r", DataType::Struct(inner.into()), true),
        Field::new("d", DataType::Decimal128(9, 2), true),
    ]));
    let options = |between: &str| {
        let options = [("csv.array-element-delimiter", between), ("csv.null-literal", "-")];
        let science = ("csv.write-bigdecimal-in-scientific-notation", "true");
        let options = options.into_iter().chain([science]);
        Options(options.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    };
    let text = "1|2|-,x|0.5,100\n,y|-,0.25\n\"\",only,1\n-,-,-\n1|x,,\n";
    let mut one = CsvDecoder::new(&options("|"), &schema, &[0, 1, 2]).unwrap();
    let decoded = one.decode(&Buffer::from(text.as_bytes())).unwrap();
    let errors: Vec<&str> = decoded.bad.iter().map(|bad| bad.error.as_str()).collect();
    let expected = [
        "column `r`: expected 2 fields of a row, found only",
        "column `l`: expected an INT, found x",
    ];
    assert_eq!(errors, expected);
    let dialect = Dialect::of(&options("\\u0001")).unwrap();
    let mut written = String::new();
    for row in 0..decoded.rows.rows.num_rows() {
        dialect.write(&decoded.rows.rows, row, &mut written);
        written.push('\n');
    }
    assert_eq!(written, "1\u{1}2\u{1}-,x\u{1}0.5,1E+2\n-,y\u{1}-,0.25\n-,-,-\n");
    let deep = Field::new("m", DataType::List(Arc::new(schema.field(0).clone())), true);
    let error = check_type(&deep).unwrap_err();
    assert!(error.message().contains("has no form in format 'csv'"), "{error}");
}

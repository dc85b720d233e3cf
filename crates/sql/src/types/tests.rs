use super::*;
use crate::tokens::tokenize;

fn read(text: &str) -> Result<(DataType, bool)> {
    let tokens = tokenize(text).unwrap();
    let mut tokens = Tokens::new(&tokens);
    let read = parse(&mut tokens)?;
    tokens.finish().map(|()| read)
}

/// Would fail if a type were read as another one, or written back differently.
#[test]
fn types_are_read_and_written_as_flink_does() {
    let cases = [
        ("STRING", "STRING"),
        ("varchar(20)", "STRING"),
        ("CHAR(3) NOT NULL", "STRING NOT NULL"),
        ("BYTES", "BYTES"),
        ("VARBINARY(9)", "BYTES"),
        ("TINYINT", "TINYINT"),
        ("SMALLINT", "SMALLINT"),
        ("INTEGER", "INT"),
        ("BIGINT NULL", "BIGINT"),
        ("FLOAT", "FLOAT"),
        ("DOUBLE PRECISION", "DOUBLE"),
        ("DECIMAL", "DECIMAL(10, 0)"),
        ("DECIMAL(38)", "DECIMAL(38, 0)"),
        ("NUMERIC(23, 3)", "DECIMAL(23, 3)"),
        ("DATE", "DATE"),
        ("TIME", "TIME(0)"),
        ("TIMESTAMP", "TIMESTAMP(6)"),
        ("TIMESTAMP(0)", "TIMESTAMP(0)"),
        ("TIMESTAMP(2) WITHOUT TIME ZONE", "TIMESTAMP(3)"),
        ("TIMESTAMP(9)", "TIMESTAMP(9)"),
        ("TIMESTAMP_LTZ(3)", "TIMESTAMP_LTZ(3)"),
        ("TIMESTAMP(3) WITH LOCAL TIME ZONE", "TIMESTAMP_LTZ(3)"),
        ("ARRAY<INT NOT NULL>", "ARRAY<INT NOT NULL>"),
        ("ARRAY<ARRAY<STRING>> NOT NULL", "ARRAY<ARRAY<STRING>> NOT NULL"),
        ("MAP<STRING, ARRAY<BIGINT>>", "MAP<STRING, ARRAY<BIGINT>>"),
        ("ROW<a BIGINT, `b c` STRING>", "ROW<`a` BIGINT, `b c` STRING>"),
        ("ROW(a BIGINT)", "ROW<`a` BIGINT>"),
        ("ROW<a ROW<b ARRAY<INT>>, c INT>", "ROW<`a` ROW<`b` ARRAY<INT>>, `c` INT>"),
    ];
    for (text, expected) in cases {
        let (kind, is_nullable) = read(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let null = if is_nullable { "" } else { " NOT NULL" };
        assert_eq!(format!("{}{null}", name(&kind)), expected, "{text}");
    }
}

/// Would fail if a wrong type were taken for a right one, or refused without a reason.
#[test]
fn wrong_types_are_refused() {
    let cases = [
        ("BIGNT", "unknown type `BIGNT`"),
        ("DECIMAL(39, 2)", "DECIMAL(39, 2) is no type"),
        ("DECIMAL(3, 4)", "DECIMAL(3, 4) is no type"),
        ("TIMESTAMP(10)", "a TIMESTAMP has 0 to 9 digits"),
        ("TIME(6)", "a TIME has 0 to 3 digits"),
        ("INT(3)", "type INT takes 0 numbers at most"),
        ("DATE(1)", "type DATE takes 0 numbers at most"),
        ("MULTISET<INT>", "type MULTISET is not supported"),
        ("ARRAY", "expected `<`, found the end of the statement"),
        ("ARRAY<INT", "expected `>`, found the end of the statement"),
        ("ARRAY<INT>>", "expected no further `>`, found the end of the statement"),
        ("ROW<a INT, a INT>", "field `a` stands there twice"),
        ("INT STRING", "expected the end of the statement, found `STRING`"),
    ];
    for (text, expected) in cases {
        let error = read(text).err().unwrap_or_else(|| panic!("{text} was read"));
        assert_eq!(error.message(), expected, "{text}");
        assert!(!error.places().is_empty(), "{text}");
    }
}

/// Would fail if a length or the digits of a type were forgotten between the text and the cast.
#[test]
fn limits_are_kept_at_fields() {
    let cases = [
        (Written::Char(None), DataType::Utf8View, "CHAR(1)"),
        (Written::Varchar(None), DataType::Utf8View, "STRING"),
        (Written::Binary(Some(3)), DataType::Binary, "BINARY(3)"),
        (Written::Time(None, TimezoneInfo::None), simple("TIME", &[]).unwrap(), "TIME(0)"),
        (
            Written::Timestamp(Some(2), TimezoneInfo::None),
            simple("TIMESTAMP", &[2]).unwrap(),
            "TIMESTAMP(2)",
        ),
        (Written::Bytes(None), DataType::Binary, "BYTES"),
    ];
    for (written, kind, expected) in cases {
        let field = FlinkTypes.plan_type_field(&written).unwrap().unwrap();
        assert_eq!(*field.data_type(), kind, "{expected}");
        assert_eq!(Limit::of(&field).written(&kind), expected);
    }
}

/// Would fail if a script could exhaust the stack.
#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}INT{}", "ARRAY<".repeat(depth), " >".repeat(depth));
    assert!(read(&nested(31)).is_ok());
    assert_eq!(read(&nested(100_000)).unwrap_err().message(), "types are nested too deep");
}

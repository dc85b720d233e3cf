use arrow::array::AsArray;
use arrow::datatypes::{Field, Schema};

use super::*;

fn decode(text: &[u8]) -> (Vec<String>, usize) {
    let field = Field::new("line", DataType::Utf8View, true);
    let schema: SchemaRef = Arc::new(Schema::new(vec![field]));
    let mut decoder = RawDecoder::new(&Options::default(), &schema, &[0]).unwrap();
    let decoded = decoder.decode(&Buffer::from(text)).unwrap();
    let rows = decoded.rows.rows.column(0).as_string_view().iter();
    (rows.map(|row| row.unwrap().to_owned()).collect(), decoded.bad.len())
}

/// Would fail if a line were lost at the end of a file, or an empty one anywhere.
#[test]
fn every_line_is_a_row() {
    assert_eq!(decode(b"a\nb\n"), (vec!["a".into(), "b".into()], 0));
    assert_eq!(decode(b"a\r\n\nlast"), (vec!["a".into(), "".into(), "last".into()], 0));
    assert_eq!(decode(b""), (vec![], 0));
    assert_eq!(decode(b"\n"), (vec!["".into()], 0));
    assert_eq!(decode(b"good\nb\xffd\nfine"), (vec!["good".into(), "fine".into()], 1));
}

/// Would fail if a character were read or written as another one.
#[test]
fn characters_are_those_of_the_charset() {
    let options = |name: &str| Options([(OPTIONS[0].to_owned(), name.to_owned())].into());
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("l", DataType::Utf8View, true)]));
    let mut decoder = RawDecoder::new(&options("iso-8859-1"), &schema, &[0]).unwrap();
    let decoded = decoder.decode(&Buffer::from(b"caf\xe9\nplain\n")).unwrap();
    let rows: Vec<_> = decoded.rows.rows.column(0).as_string_view().iter().flatten().collect();
    assert_eq!((rows, decoded.bad.len()), (vec!["café", "plain"], 0));
    let encoded = |name: &str| Charset::of(&options(name)).unwrap().encode("é€".to_owned());
    assert_eq!(encoded("ISO-8859-1"), b"\xe9?");
    assert_eq!(encoded("US-ASCII"), b"??");
    assert_eq!(encoded("UTF-8"), "é€".as_bytes());
    assert!(Charset::of(&options("EBCDIC")).is_err());
    let order = Options([(ENDIANNESS.to_owned(), "middle".to_owned())].into());
    assert!(Charset::of(&order).is_err());
}

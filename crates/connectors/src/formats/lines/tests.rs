use arrow::array::AsArray;
use arrow::datatypes::{Field, Schema};

use super::*;

fn decode(text: &[u8]) -> (Vec<String>, usize) {
    let field = Field::new("line", DataType::Utf8View, true);
    let schema: SchemaRef = Arc::new(Schema::new(vec![field]));
    let mut decoder = RawDecoder::new(&Options::default(), &schema, &[0]).unwrap();
    let decoded = decoder.decode(&Buffer::from(text)).unwrap();
    let rows = decoded.rows.column(0).as_string_view().iter();
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

use arrow::array::Array;

use super::*;

fn find(delimiter: u8, text: &[u8]) -> impl Iterator<Item = usize> + '_ {
    text.iter().enumerate().filter(move |(_, byte)| **byte == delimiter).map(|(at, _)| at)
}

/// Would fail if a piece of a text in its view were looked for in a buffer, if a mask took a byte
/// too many, or if a long piece had a wrong offset.
#[test]
fn pieces_are_those_of_split() {
    let texts = [
        "",
        " ",
        "a b",
        "twelve bytes",
        "thirteen byte",
        "ünïcödé wörds and a-word-that-is-longer-than-a-view and ünïcödé",
        "a line  with an empty word and one at the end ",
        "exactly-sixteen- exactly-twelv exactly-sixteen-",
    ];
    let array = StringViewArray::from_iter_values(texts);
    for slice in [0..texts.len(), 3..6] {
        let array = array.slice(slice.start, slice.len());
        let mut splitter = Splitter::new(&array, b' ', 4);
        assert!(splitter.is_empty());
        (0..array.len()).for_each(|row| splitter.split(row, find));
        let expected: Vec<&str> = texts[slice].iter().flat_map(|text| text.split(' ')).collect();
        assert_eq!(splitter.len(), expected.len());
        let pieces = splitter.finish();
        assert_eq!(pieces.iter().flatten().collect::<Vec<_>>(), expected);
        // What Arrow would check.
        let (views, buffers, nulls) = pieces.into_parts();
        StringViewArray::try_new(views, buffers, nulls).unwrap();
    }
}

#[test]
fn ranges_of_a_block_are_texts() {
    let block = Buffer::from("one\nzwölf\na line that is rather long\n".as_bytes());
    let ranges = [(0, 3), (4, 10), (11, 37), (37, 37)];
    let lines = cut_block(&block, ranges.into_iter(), None).unwrap();
    let expected = ["one", "zwölf", "a line that is rather long", ""];
    assert_eq!(lines.iter().flatten().collect::<Vec<_>>(), expected);
    assert!(cut_block(&Buffer::from(b"\xff".as_slice()), [].into_iter(), None).is_none());
}

#[test]
#[should_panic(expected = "cut within a character")]
fn characters_are_not_cut() {
    cut_block(&Buffer::from("ö".as_bytes()), [(0, 1)].into_iter(), None);
}

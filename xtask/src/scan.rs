//! Rust text, taken apart: code without strings and comments, and comments without code.
//!
//! Both halves have the lines and columns (in bytes) of the original; what belongs to the other
//! half is blank. It knows nested block comments, raw strings, byte and C strings, and tells a
//! character literal from a lifetime. It does *not* know macros or grammar.

/// A text in two halves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Code; the content of strings and character literals is blank, quotes stay.
    pub(crate) code: String,
    /// Comments with their slashes.
    pub(crate) comments: String,
}

/// Takes `text` apart.
pub(crate) fn scan(text: &str) -> Scanned {
    let mut scanner =
        Scanner { bytes: text.as_bytes(), at: 0, code: Vec::new(), comments: Vec::new() };
    while scanner.at < scanner.bytes.len() {
        scanner.step();
    }
    Scanned { code: text_of(scanner.code), comments: text_of(scanner.comments) }
}

fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    code: Vec<u8>,
    comments: Vec<u8>,
}

/// Where bytes belong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Code,
    Comment,
    Neither,
}

impl Scanner<'_> {
    fn step(&mut self) {
        let rest = &self.bytes[self.at..];
        match rest {
            [b'/', b'/', ..] => {
                let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                self.take(length, Half::Comment);
            }
            [b'/', b'*', ..] => self.take(block_comment(rest), Half::Comment),
            [b'"', ..] => self.string(0, 0),
            [b'r' | b'b' | b'c', ..] if !self.is_inside_word() => match prefixed_string(rest) {
                Some((prefix, hashes)) => self.string(prefix, hashes),
                None => self.take(1, Half::Code),
            },
            [b'\'', ..] => match char_literal(rest) {
                Some(length) => {
                    self.take(1, Half::Code);
                    self.take(length - 2, Half::Neither);
                    self.take(1, Half::Code);
                }
                None => self.take(1, Half::Code),
            },
            _ => self.take(1, Half::Code),
        }
    }

    /// Is the byte before part of an identifier?
    fn is_inside_word(&self) -> bool {
        let before = self.at.checked_sub(1).map(|at| self.bytes[at]);
        before.is_some_and(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    }

    /// Takes a string whose opening quote stands behind `prefix` bytes; a raw one if it begins
    /// with `r`, closed by a quote and `hashes` hashes.
    fn string(&mut self, prefix: usize, hashes: usize) {
        let is_raw = self.bytes[self.at..self.at + prefix].contains(&b'r');
        self.take(prefix + 1, Half::Code);
        let rest = &self.bytes[self.at..];
        let mut end = 0;
        while end < rest.len() {
            match rest[end] {
                b'\\' if !is_raw => end += 2,
                b'"' if rest[end + 1..].iter().take(hashes).filter(|b| **b == b'#').count()
                    == hashes =>
                {
                    break;
                }
                _ => end += 1,
            }
        }
        let end = end.min(rest.len());
        let closing = (1 + hashes).min(rest.len() - end);
        self.take(end, Half::Neither);
        self.take(closing, Half::Code);
    }

    /// Gives `length` bytes to one half and blanks to the other; line feeds stay in both.
    fn take(&mut self, length: usize, half: Half) {
        for byte in &self.bytes[self.at..self.at + length] {
            let blank = if *byte == b'\n' { b'\n' } else { b' ' };
            self.code.push(if half == Half::Code { *byte } else { blank });
            self.comments.push(if half == Half::Comment { *byte } else { blank });
        }
        self.at += length;
    }
}

/// Returns the length of the block comment at the start of `rest`; they nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

/// Returns the bytes before the quote and the number of hashes of `r#"`, `b"`, `br##"`, `c"`.
fn prefixed_string(rest: &[u8]) -> Option<(usize, usize)> {
    let letters = rest.iter().take(2).take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count();
    let hashes = rest[letters..].iter().take_while(|byte| **byte == b'#').count();
    let is_raw = rest[..letters].contains(&b'r');
    let is_string = rest.get(letters + hashes) == Some(&b'"') && (is_raw || hashes == 0);
    is_string.then_some((letters + hashes, hashes))
}

/// Returns the length of a character literal with its quotes; `None` for a lifetime.
fn char_literal(rest: &[u8]) -> Option<usize> {
    match rest.get(1)? {
        b'\\' => {
            // The byte behind the backslash may be a quote itself.
            let end = rest.iter().skip(3).position(|byte| *byte == b'\'')?;
            Some(end + 4)
        }
        b'\'' => None,
        first => {
            let width = match first {
                0x00..=0x7f => 1,
                0x80..=0xdf => 2,
                0xe0..=0xef => 3,
                _ => 4,
            };
            (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
        }
    }
}

#[cfg(test)]
mod tests;

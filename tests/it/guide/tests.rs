//! The test of the guide, tested: what is wrong with a page is found.

use std::collections::BTreeMap;

use super::{Page, runner, updated, wrong_links};

/// A page of which every example is right.
const RIGHT: &str = "# Words

```json,file=in/words.json
{\"word\": \"deep\", \"n\": 3}
```

```sql,setup
CREATE TABLE words (word STRING, n INT)
WITH ('connector' = 'filesystem', 'path' = 'in/words.json', 'format' = 'json');
```

```sql
SELECT word, n + 1 AS more FROM words;
```

```text
word | more
-----+-----
deep |    4
```

```sql,error
SELECT
  wrd FROM words;
```

```text
error: there is no column `wrd`
  --> command:2:3
2 |   wrd FROM words;
      ^^^
…
```

```console
$ thalweg check -q \\
    -e 'SELECT 1'
ok: 1 statement
$ thalweg run missing.sql
error: cannot read script `missing.sql`: …
$ echo $?
2
$ cat in/words.json in/words.json
…
{\"word\": \"deep\", \"n\": 3}
```

```rust,from=examples/word-count/main.rs
/// A word of a line.
#[derive(Clone, Record)]
struct Word {
    word: String,
}
```

<!-- There is no server to send it to. -->

```sh,norun
nc -lk 9999
```
";

fn wrong_in(text: &str) -> Vec<String> {
    let page = Page::parse(text);
    let mut wrong: Vec<String> = page.wrong.iter().map(|(_, error)| error.clone()).collect();
    wrong.extend(runner::run(&page).into_iter().map(|wrong| wrong.message));
    wrong
}

/// Would fail if the test of the guide passed whatever a page says.
#[test]
fn a_page_that_says_something_else_is_found() {
    assert_eq!(wrong_in(RIGHT), Vec::<String>::new());
    let cases = [
        ("deep |    4", "deep |    5", "it shows\nword | more"),
        ("deep |    4\n", "deep |    4\n…\nlate |    5\n", "it shows\nword | more"),
        ("n + 1 AS more", "m AS more", "the script is refused:\nerror: "),
        ("  wrd FROM words", "  word FROM words", "the script runs, and should be refused"),
        ("command:2:3", "command:1:3", "it shows\nerror: "),
        ("ok: 1 statement", "ok: 2 statements", "it shows\nok: 1 statement"),
        ("deep\", \"n\": 3}\n```\n\n```rust", "late", "it shows"),
        ("$ echo $?\n2", "$ echo none\nnone", "`thalweg run missing.sql` failed (2)"),
        ("$ echo $?\n2", "$ echo $?\n3", "it shows\n2"),
        ("```console\n", "```console\nno command\n", "a `console` begins with a command"),
        ("STRING, n INT", "STRNG, n INT", "error: "),
        ("struct Word {", "struct Wort {", "this is no part of examples/word-count/main.rs"),
        ("<!-- There is no server to send it to. -->", "", "no comment before the block"),
        ("```sql,setup", "```sql,set", "a block cannot be `sql,set`"),
        ("```sh,norun", "```sh", "a block cannot be `sh`"),
        ("# Words\n", "# Words\n\n    $ thalweg\n", "code that no test sees"),
        ("nc -lk 9999\n```\n", "nc -lk 9999\n", "the block has no end"),
        (
            "```sql\nSELECT word, n + 1 AS more FROM words;\n```\n",
            "",
            "`text` stands behind no `sql`",
        ),
    ];
    for (from, to, expected) in cases {
        assert!(RIGHT.contains(from), "{from}");
        let wrong = wrong_in(&RIGHT.replacen(from, to, 1));
        assert!(wrong.iter().any(|wrong| wrong.starts_with(expected)), "{to}: {wrong:?}");
    }
}

/// Would fail if an update left something wrong, or lost a `…` that says all that is known.
#[test]
fn an_update_makes_a_page_right() {
    let wrong = RIGHT
        .replacen("deep |    4", "deep |    5", 1)
        .replacen("ok: 1 statement", "no", 1)
        .replacen("missing.sql`: …\n", "missing.sql`: …\nand more\n", 1);
    let found = runner::run(&Page::parse(&wrong));
    assert_eq!(updated(&wrong, &found), RIGHT);
}

/// Would fail if a page could be lost, or a link led to nothing.
#[test]
fn a_page_that_nobody_can_reach_is_found() {
    let book = |summary: &str| {
        let pages = [
            ("SUMMARY.md", summary),
            ("one.md", "# One\n[two](sql/two.md#the-second)"),
            ("sql/two.md", "# The *second*\n[one](../one.md), [here](#the-second)"),
        ];
        let parsed = pages.map(|(name, text)| (name.to_owned(), Page::parse(text)));
        wrong_links(&BTreeMap::from(parsed))
    };
    assert_eq!(book("[One](one.md) [Two](sql/two.md)"), Vec::<String>::new());
    let cases = [
        ("[One](one.md)", "sql/two.md: is not listed in SUMMARY.md"),
        ("[One](one.md) [Two](sql/two.md) [3](3.md)", "SUMMARY.md:1: `3.md` leads nowhere"),
        ("[One](one.md) [Two](sql/two.md#x)", "SUMMARY.md:1: `sql/two.md#x` leads nowhere"),
        ("[One](one.md) [Two](sql/two.md) [1](one.md)", "SUMMARY.md:1: `one.md` is listed twice"),
        ("[One](one.md) [Two](../sql/two.md)", "SUMMARY.md:1: `../sql/two.md` leads nowhere"),
    ];
    for (summary, expected) in cases {
        let wrong = book(summary);
        assert!(wrong.iter().any(|wrong| wrong == expected), "{summary}: {wrong:?}");
    }
}

//! The shell on a real terminal: what somebody who types sees.

mod piped;

use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::support::Place;

/// How long what is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often what ends the shell is typed.
const TRIES: u32 = 4;

const LINES: NonZero<u16> = NonZero::new(40).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(100).unwrap();

/// A shell on a pseudo-terminal of script(1), of util-linux, and what its screen shows.
struct Terminal {
    child: Child,
    keys: Arc<Mutex<ChildStdin>>,
    screen: Arc<(Mutex<vt100::Parser>, Condvar)>,
}

impl Terminal {
    fn open(place: &Place, arguments: &str) -> Terminal {
        let program = env!("CARGO_BIN_EXE_thalweg");
        let inner = format!("stty rows {LINES} cols {COLUMNS}; exec {program} sql {arguments}");
        let mut child = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &inner, "/dev/null"])
            .current_dir(place.path("."))
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .env("XDG_STATE_HOME", place.path("states"))
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let keys = Arc::new(Mutex::new(child.stdin.take().unwrap()));
        let parser = vt100::Parser::new(LINES, COLUMNS, 1000);
        let screen = Arc::new((Mutex::new(parser), Condvar::new()));
        let (mut shown, answers, drawn) =
            (child.stdout.take().unwrap(), keys.clone(), screen.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = shown.read(&mut bytes) {
                let mut parser = drawn.0.lock().unwrap();
                parser.process(&bytes[..count]);
                // As a terminal does, it says where the cursor is when it is asked.
                if bytes[..count].windows(4).any(|asked| asked == b"\x1b[6n") {
                    let (line, column) = parser.screen().cursor_position();
                    let answer = format!("\x1b[{};{}R", line + 1, column + 1);
                    answers.lock().unwrap().write_all(answer.as_bytes()).unwrap();
                }
                drawn.1.notify_all();
            }
        });
        let mut terminal = Terminal { child, keys, screen };
        terminal.sees("thalweg>");
        terminal
    }

    fn types(&mut self, keys: &str) {
        let mut to = self.keys.lock().unwrap();
        to.write_all(keys.as_bytes()).and_then(|()| to.flush()).unwrap();
    }

    /// Waits until the screen shows what is wanted; returns all of it.
    fn waits(&mut self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        let (parser, changed) = &*self.screen;
        let mut parser = parser.lock().unwrap();
        loop {
            let text = parser.screen().contents();
            if is_there(&text) {
                return text;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited for {what}:\n{text}");
            parser = changed.wait_timeout(parser, left).unwrap().0;
        }
    }

    fn sees(&mut self, text: &str) -> String {
        self.waits(text, |screen| screen.contains(text))
    }

    /// Runs a statement at a new prompt on a clear screen; returns what stands there when the next
    /// prompt does.
    fn runs(&mut self, statement: &str) -> String {
        self.types("\x0c");
        self.waits("a clear screen", |screen| screen.trim() == "thalweg>");
        self.types(&format!("{statement}\r"));
        self.at_prompt()
    }

    /// Waits for a prompt behind what ran.
    fn at_prompt(&mut self) -> String {
        self.waits("a prompt", |screen| {
            screen.matches("thalweg>").count() > 1 && screen.trim_end().ends_with("thalweg>")
        })
    }

    /// Drops what is typed so far; returns what stands there then.
    fn drops(&mut self) -> String {
        let prompts = self.sees("").matches("thalweg>").count();
        self.types("\x03");
        self.waits("another prompt", |screen| screen.matches("thalweg>").count() > prompts)
    }

    /// Types what ends the shell; returns its exit code.
    fn leaves(mut self, keys: &str) -> Option<i32> {
        // What is typed in the moment in which the shell takes its terminal back after a query was
        // lost now and then on a busy machine; somebody who types would type it again.
        for _ in 0..TRIES {
            self.types(keys);
            let until = Instant::now() + PATIENCE / TRIES;
            while Instant::now() < until {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status.code();
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        panic!("the shell does not end:\n{}", self.sees(""));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It is gone already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ORDERS: &str = "CREATE TABLE orders (id BIGINT, customer STRING, price BIGINT) \
                      WITH ('connector'='filesystem','path'='orders.json','format'='json');";

fn place() -> Place {
    let place = Place::new();
    place.write(
        "orders.json",
        "{\"id\":1,\"customer\":\"Ann\",\"price\":5}\n{\"id\":2,\"customer\":\"Bob\",\"price\":7}\n",
    );
    place
}

/// Would fail if a table did not stay, Tab did not know its columns, a statement could not go over
/// lines, or an error ended the shell.
#[test]
fn a_session_is_a_pleasure() {
    let place = place();
    let mut shell = Terminal::open(&place, "");
    let shown = shell.runs(ORDERS);
    assert!(shown.contains("CREATE TABLE\n"), "{shown}");

    shell.types("SELECT\rcus");
    shell.sees("      -> cus");
    shell.drops();
    let shown = shell.runs("SELECT customer\r  FROM orders\rWHERE price > 5;");
    assert!(shown.contains("      ->   FROM orders\n"), "{shown}");
    assert!(shown.contains("customer\n--------\nBob\n(1 row)\n"), "{shown}");

    let shown = shell.runs("SELECT custmer FROM orders;");
    assert!(shown.contains("1 | SELECT custmer FROM orders;"), "{shown}");
    assert!(shown.contains("           ^^^^^^^\n"), "{shown}");
    assert!(shown.contains("did you mean `customer`?"), "{shown}");
    let shown = shell.runs("SELECT COUNT(*) AS n FROM orders;");
    assert!(shown.contains("n\n-\n2\n"), "the last drawing stays: {shown}");
    assert_eq!(shell.leaves("\x04"), Some(0));
}

/// Would fail if Tab did not complete the column of a table that the statement names.
#[test]
fn tab_completes_a_column() {
    let place = place();
    let mut shell = Terminal::open(&place, "");
    shell.runs(ORDERS);
    shell.types("SELECT o.cus\tFROM");
    shell.sees("SELECT o.cusFROM");
    let shown = shell.drops();
    assert!(!shown.contains("customer FROM"), "no table is named: {shown}");
    let shown = shell.runs("SELECT 1 AS one FROM orders AS o WHERE o.cus\t = 'Ann';");
    assert!(shown.contains("WHERE o.customer  = 'Ann';"), "{shown}");
    assert!(shown.contains("one\n---\n  1\n"), "{shown}");
    assert_eq!(shell.leaves("\\q\r"), Some(0));
}

/// Would fail if Ctrl-C left the shell, or the query that it ended disturbed the next one.
#[test]
fn a_query_is_stopped_and_the_shell_goes_on() {
    let place = place();
    let mut shell = Terminal::open(&place, "");
    shell
        .runs("CREATE TABLE ticks (n BIGINT) WITH ('connector'='datagen','rows-per-second'='50');");
    shell.runs("CREATE TABLE nowhere (n BIGINT) WITH ('connector'='blackhole');");
    shell.types("\x0cSELECT n, COUNT(*) FROM ticks GROUP BY n;\r");
    shell.sees(" rows");
    let began = Instant::now();
    shell.types("\x03");
    shell.waits("a prompt", |screen| screen.trim_end().ends_with(", stopped)\nthalweg>"));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");

    shell.types("\x0cINSERT INTO nowhere SELECT n FROM ticks;\r");
    shell.sees(" rows in, ");
    shell.types("\x03");
    shell.sees("Suspended after ");
    shell.at_prompt();

    shell.runs(ORDERS);
    let shown = shell.runs("SELECT id FROM orders;");
    assert!(shown.contains("id\n--\n 1\n 2\n(2 rows)\n"), "{shown}");
    assert_eq!(shell.leaves("quit\r"), Some(0));
}

/// Would fail if what was typed in one shell were not found in the next one, or kept unasked.
#[test]
fn history_is_kept() {
    let place = place();
    let mut shell = Terminal::open(&place, "");
    shell.runs("SELECT 12345 AS remembered;");
    assert_eq!(shell.leaves("\\q\r"), Some(0));
    let mut shell = Terminal::open(&place, "");
    shell.types("\x1245 AS rem");
    shell.sees("SELECT 12345 AS remembered;");
    shell.types("\r\r");
    shell.sees("12345\n");
    assert_eq!(shell.leaves("\x04"), Some(0));
    let mut shell = Terminal::open(&place, "--no-history");
    let shown = shell.runs("\\s");
    assert!(!shown.contains("remembered"), "{shown}");
    shell.leaves("\x04");
}

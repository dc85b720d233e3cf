//! Stolen cards: a small charge, to see whether a card works, and then a large one within a minute.
//!
//!     cargo run --example fraud
//!
//! Its argument is the folder that the answer is written to; `--help` lists the flags.

use std::process::ExitCode;
use std::time::Duration;

use thalweg::{Pattern, Record, Timestamp};

/// A charge to a card.
#[derive(Clone, Record)]
struct Charge {
    card: i64,
    cents: i64,
    at: Timestamp,
}

/// A large charge that should be looked at.
#[derive(Clone, Record)]
struct Alert {
    card: i64,
    cents: i64,
    tried_at: Timestamp,
    charged_at: Timestamp,
}

fn main() -> ExitCode {
    thalweg::main(|job, arguments| {
        let output = arguments.first().map_or("output/fraud-rust", String::as_str);
        let input = [("path", "examples/fraud/charges.json"), ("format", "json")];
        let charges = job.source::<Charge>("charges", "filesystem", &input);
        let charges = charges.watermark(|charge| charge.at, Duration::from_secs(5)).stream()?;
        let small = Pattern::row("small", |charge: &Charge| charge.cents < 1_00);
        let large = Pattern::row("large", |charge: &Charge| charge.cents > 50_000);
        charges
            .key_by(|charge| charge.card)
            .pattern(small.followed_by(large), |charge| charge.at)
            .within(Duration::from_secs(60))
            .select("alerts", |found| {
                let (small, large) = (&found["small"][0], &found["large"][0]);
                Alert {
                    card: large.card,
                    cents: large.cents,
                    tried_at: small.at,
                    charged_at: large.at,
                }
            })?
            .sink("alerts", "filesystem", &[("path", output), ("format", "json")])
    })
}

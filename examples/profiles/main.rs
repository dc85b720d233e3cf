//! Profiles joined with settings: two tables, of which each is known by its changes. `query.sql` beside it
//! says the same.
//!
//!     cargo run --example profiles
//!
//! Its argument is the folder that the answer is written to; `--help` lists the flags.

use std::process::ExitCode;

use thalweg::Record;

/// What somebody is called from now on.
#[derive(Clone, Record)]
struct Profile {
    user_name: String,
    nickname: String,
}

/// What somebody wants from now on.
#[derive(Clone, Record)]
struct Settings {
    user_name: String,
    language: String,
    newsletter: bool,
}

/// Somebody with all that is known.
#[derive(Clone, Record)]
struct Account {
    user_name: String,
    nickname: String,
    language: Option<String>,
    newsletter: Option<bool>,
}

fn account(profile: Profile, settings: Option<Settings>) -> Account {
    let (language, newsletter) = settings.map(|s| (s.language, s.newsletter)).unzip();
    Account { user_name: profile.user_name, nickname: profile.nickname, language, newsletter }
}

fn main() -> ExitCode {
    thalweg::main(|job, arguments| {
        let output = arguments.first().map_or("output/profiles-rust", String::as_str);
        let profiles = [("path", "examples/profiles/profiles.json"), ("format", "json")];
        let settings = [("path", "examples/profiles/settings.json"), ("format", "json")];
        let profiles = job
            .source::<Profile>("profiles", "filesystem", &profiles)
            .stream()?
            .key_by(|profile| profile.user_name.clone())
            .latest("latest profiles")?;
        let settings = job
            .source::<Settings>("settings", "filesystem", &settings)
            .stream()?
            .key_by(|settings| settings.user_name.clone())
            .latest("latest settings")?;
        profiles
            .key_by(|profile| profile.user_name.clone())
            .join(settings.key_by(|settings| settings.user_name.clone()))
            .left("accounts", account)?
            .sink("accounts", "filesystem", &[("path", output), ("format", "debezium-json")])
    })
}

//! Page views with the ZIP codes of those who viewed: a stream joined with a table, by hand. `query.sql`
//! beside it says the same.
//!
//!     cargo run --example zip-codes
//!
//! Its argument is the folder that the answer is written to; `--help` lists the flags.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use thalweg::{CoProcess, Context, ListState, Record, Result, Timestamp, ValueState};

/// A page that somebody viewed.
#[derive(Clone, Record, Serialize, Deserialize)]
struct View {
    user_name: String,
    page: String,
    view_time: Timestamp,
}

/// Where somebody lives.
#[derive(Clone, Record)]
struct User {
    user_name: String,
    zip_code: String,
}

/// A page that was viewed from somewhere.
#[derive(Clone, Record)]
struct Located {
    page: String,
    zip_code: String,
    view_time: Timestamp,
}

/// Keeps what is known of a user, and views that came before it was.
struct Locate {
    zip_code: ValueState<String>,
    early: ListState<View>,
}

fn located(view: View, zip_code: &str) -> Located {
    Located { page: view.page, zip_code: zip_code.to_owned(), view_time: view.view_time }
}

impl CoProcess<String, View, User, Located> for Locate {
    fn left(&self, view: View, context: &mut Context<'_, String, Located>) -> Result<()> {
        match self.zip_code.get(context).cloned() {
            Some(zip_code) => context.send(located(view, &zip_code)),
            None => self.early.push(context, view),
        }
        Ok(())
    }

    fn right(&self, user: User, context: &mut Context<'_, String, Located>) -> Result<()> {
        for view in self.early.take(context) {
            context.send(located(view, &user.zip_code));
        }
        self.zip_code.set(context, user.zip_code);
        Ok(())
    }
}

fn main() -> ExitCode {
    thalweg::main(|job, arguments| {
        let output = arguments.first().map_or("output/zip-codes-rust", String::as_str);
        let views = [("path", "examples/page-views/views.json"), ("format", "json")];
        let users = [("path", "examples/zip-codes/users.json"), ("format", "json")];
        let users = job.source::<User>("users", "filesystem", &users).stream()?;
        job.source::<View>("views", "filesystem", &views)
            .stream()?
            .key_by(|view| view.user_name.clone())
            .connect(users.key_by(|user| user.user_name.clone()))
            .process("locate", |setup| Locate {
                zip_code: setup.value("zip code"),
                early: setup.list("early"),
            })?
            .sink("located", "filesystem", &[("path", output), ("format", "json")])
    })
}

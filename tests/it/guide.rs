//! The guide: every page of `docs/src` is read as its readers read it, and every example is run.
//!
//! What always holds: a page is listed in `SUMMARY.md`, links lead to pages and headings that are
//! there, and each block of a page says by its info string what becomes of it:
//! - `LANG,file=NAME` is written to that file;
//! - `console` holds commands (`$ …`; one that ends with `\` goes on in the next line) and what
//!   standard output and standard error show: a `…` stands for anything, alone on a line for any
//!   lines, and never for all of them. A command that fails has `$ echo $?` behind it;
//! - `sql` is a script that runs behind the `sql,setup` blocks before it, and the `text` behind it is
//!   what it shows; `sql,error` is refused, and `text` is the error as drawn;
//! - `rust,from=PATH` is part of a file that is compiled;
//! - `toml,norun` and `sh,norun` cannot run here; a comment before the block says why.
//!
//! `UPDATE=1` writes what the examples show into the pages; read the difference before you commit it.

mod page;
mod shown;

mod runner;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use page::Page;
use runner::Wrong;

/// The list of pages.
const SUMMARY: &str = "SUMMARY.md";

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src")
}

/// Returns the texts of all pages below a folder, by their path in it.
fn pages(root: &Path) -> BTreeMap<String, String> {
    let (mut pages, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                pages.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    pages
}

/// Returns the page that a link of the page `from` leads to, and the heading in it.
fn target<'l>(from: &str, link: &'l str) -> (String, &'l str) {
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    if path.is_empty() {
        return (from.to_owned(), heading);
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            // What is above the book stays unknown.
            ".." if parts.pop().is_none() => parts.push(".."),
            ".." | "." => {}
            part => parts.push(part),
        }
    }
    (parts.join("/"), heading)
}

/// Returns what is wrong with the list of pages and with the links between them.
fn wrong_links(pages: &BTreeMap<String, Page>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut listed = BTreeSet::from([SUMMARY.to_owned()]);
    for (name, page) in pages {
        for (at, link) in page.links.iter().filter(|(_, link)| !link.contains("://")) {
            let (path, heading) = target(name, link);
            let found = pages.get(&path);
            if !found.is_some_and(|p| heading.is_empty() || p.anchors.iter().any(|a| a == heading))
            {
                wrong.push(format!("{name}:{}: `{link}` leads nowhere", at + 1));
            }
            if name == SUMMARY && !listed.insert(path) {
                wrong.push(format!("{name}:{}: `{link}` is listed twice", at + 1));
            }
        }
    }
    let missing = pages.keys().filter(|name| !listed.contains(*name));
    wrong.extend(missing.map(|name| format!("{name}: is not listed in {SUMMARY}")));
    wrong
}

/// Returns a page with its examples as they run.
fn updated(text: &str, wrong: &[Wrong]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (place, instead) in wrong.iter().rev().filter_map(|wrong| wrong.instead.clone()) {
        lines.splice(place, instead);
    }
    lines.join("\n") + "\n"
}

/// Would fail if a page were not listed, or a link led nowhere.
#[test]
fn every_page_is_listed_and_every_link_leads_somewhere() {
    let pages = pages(&source());
    let pages = pages.iter().map(|(name, text)| (name.clone(), Page::parse(text))).collect();
    let wrong = wrong_links(&pages);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Would fail if the program did anything else than the guide says.
#[test]
fn every_example_shows_what_its_page_says() {
    let pages = pages(&source());
    let check = |(name, text): (&String, &String)| {
        let page = Page::parse(text);
        let unread = page.wrong.iter().map(|(at, error)| format!("{name}:{}: {error}", at + 1));
        let mut wrong: Vec<String> = unread.collect();
        let mut found = runner::run(&page);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(source().join(name), updated(text, &found)).unwrap();
            found.retain(|one| one.instead.is_none());
        }
        wrong.extend(found.iter().map(|one| format!("{name}:{}: {}", one.at + 1, one.message)));
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = pages.iter().map(|page| scope.spawn(move || check(page))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

mod tests;

//! The one integration-test binary: the program as its users run it.

mod command_line;
mod crash;
mod support;
mod windows;

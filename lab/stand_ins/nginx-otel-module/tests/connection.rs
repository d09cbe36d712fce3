//! Runs the tests of `src/connection.rs` and `src/backoff.rs`, which need no NGINX: the library itself links only into
//! one.

#[path = "../src/backoff.rs"]
mod backoff;
#[path = "../src/connection.rs"]
mod connection;

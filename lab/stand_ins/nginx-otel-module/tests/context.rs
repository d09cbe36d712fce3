//! Runs the tests of `src/context.rs`, the one part that needs no NGINX: the library itself links only into one.

#[path = "../src/context.rs"]
#[allow(dead_code)]
mod context;

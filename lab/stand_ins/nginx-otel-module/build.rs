//! Keeps the module in memory when NGINX unloads it at a worker's exit: a thread of it may still be returning.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}

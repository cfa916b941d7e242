//! The command `homeward`.
fn main() {}

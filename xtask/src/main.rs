//! The project's own commands.

#[expect(dead_code, reason = "used by the verbs")]
mod toolchain;

fn main() {}

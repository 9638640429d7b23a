//! The command line: `vip`.

fn main() {}

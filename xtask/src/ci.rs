//! `cargo xtask ci`: all that a change must pass, in the order in which mistakes are cheapest to find.

use anyhow::Result;

use crate::{lint, setup, test};

pub(crate) fn run() -> Result<()> {
    setup::ensure(setup::Need::Everything)?;
    lint::run()?;
    test::run(&test::Arguments::default())
}

//! What can go wrong with the kernel's tables and programs: each says what, where, and what to do.

use std::{io, path::PathBuf};

use crate::{model::Mode, places::Instance};

/// Why the dataplane can't do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataplaneError {
    /// A file or a system call.
    #[error("{what}")]
    Io {
        /// What was tried, and where.
        what: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Loading the program, or a table's library.
    #[error("{what}")]
    Aya {
        /// What was tried, and where.
        what: String,
        /// What the library said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another version of vip has pinned its tables.
    #[error(
        "{} holds tables of another layout than this vip's v{ours}: `vip detach --instance {instance}` removes \
         them, and forwarding stops until `vip run`", .path.display()
    )]
    OtherLayout {
        /// The directory of the other layout.
        path: PathBuf,
        /// This program's layout.
        ours: u32,
        /// The instance.
        instance: Instance,
    },
    /// A pinned table is not what is asked for.
    #[error(
        "{} has {what} {found}, but {wanted} is asked for: ask for the former, or let \
         `vip detach --instance {instance}` remove the tables (forwarding stops until `vip run`)", .path.display()
    )]
    TableMismatch {
        /// The pin.
        path: PathBuf,
        /// Which of its properties.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
        /// The instance.
        instance: Instance,
    },
    /// The pins are incomplete.
    #[error("{} is missing: `vip run` makes it anew, `vip detach` removes the rest", .0.display())]
    MissingPin(PathBuf),
    /// A table contradicts another one.
    #[error("{0}")]
    Broken(String),
    /// A write past the end of a table.
    #[error("{table} has no entry {index}: it has {entries}, by the configuration's capacity")]
    NoRoom {
        /// The table.
        table: &'static str,
        /// The entry.
        index: u32,
        /// How many there are.
        entries: u32,
    },
    /// There is no such interface.
    #[error("there is no interface {0}")]
    NoInterface(String),
    /// An interface's index is past the end of `PORTS`.
    #[error(
        "interface {interface} has index {index}, but there is room up to {}: `vip detach --instance {instance}` \
         removes the tables, and `vip run` makes larger ones", .entries - 1
    )]
    PortOutOfRange {
        /// The interface.
        interface: String,
        /// Its index.
        index: u32,
        /// Entries of `PORTS`.
        entries: u32,
        /// The instance.
        instance: Instance,
    },
    /// Somebody else's program is attached to the interface.
    #[error(
        "interface {interface} has another XDP program, {program} (id {id}), which is left alone: \
         detach it first, or choose another interface"
    )]
    OtherProgram {
        /// The interface.
        interface: String,
        /// The program's name.
        program: String,
        /// The program's id.
        id: u32,
    },
    /// The instance's link belongs to an interface that is not seen from here.
    #[error(
        "{} belongs to an interface of another network namespace: run there, or choose another `--instance` than \
         {instance} here", .path.display()
    )]
    OtherNamespace {
        /// The pin of the link.
        path: PathBuf,
        /// The instance.
        instance: Instance,
    },
    /// An attached link can't change its mode.
    #[error(
        "interface {interface} is attached in {found} mode, but {wanted} is asked for: changing it interrupts \
         traffic, so do `vip detach --instance {instance}` first"
    )]
    OtherMode {
        /// The interface.
        interface: String,
        /// How it is attached.
        found: Mode,
        /// How it should be.
        wanted: Mode,
        /// The instance.
        instance: Instance,
    },
    /// The kernel refuses the program on an interface.
    #[error("attach to interface {interface} in {mode} mode{}", .native.as_ref().map(|why| format!(" (natively: {why})")).unwrap_or_default())]
    Refused {
        /// The interface.
        interface: String,
        /// The mode that was tried last.
        mode: Mode,
        /// Why it could not be native, where that was tried before.
        native: Option<String>,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl DataplaneError {
    /// For `map_err`: an error of the system, with what was tried.
    pub(super) fn io<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { what: what.into(), source: source.into() }
    }

    /// For `map_err`: an error of the BPF library, with what was tried.
    pub(super) fn aya<E>(what: impl Into<String>) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Aya { what: what.into(), source: Box::new(source) }
    }
}

//! The pure core of the packet director: what each packet gets, and the layouts of the tables it is
//! decided by.
//!
//! [`direct()`] is compiled twice, for BPF and for the host; it knows no kernel, no clock and no allocator. A
//! shell gives it a [`Frame`] (one packet's bytes) and [`Tables`] (what the controller published), and
//! carries out the [`Action`] it returns.
//!
//! ```
//! use vip_common::{Action, Reason, direct, host::{HostFrame, HostTables}};
//!
//! let mut frame = HostFrame::new(&[0; 60], 1);
//! assert_eq!(direct(&mut frame, &HostTables::default()), Action::pass(Reason::NotForUs));
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "host"))]
extern crate std;

mod action;
mod answer;
mod arrival;
mod checksum;
mod deliver;
mod direct;
mod echo;
mod family;
mod fast;
mod flow;
mod fragments;
mod frame;
mod full;
mod hash;
pub mod headers;
#[cfg(any(test, feature = "host"))]
pub mod host;
pub mod measure;
mod owner;
mod packet;
mod reset;
mod rows;
pub mod steps;
pub mod tables;
pub mod trace;

pub use action::{Action, Reason, Verb};
pub use direct::direct;
pub use family::{V4, V6};
pub use fast::fast;
pub use flow::{Flow, Flow4, Flow6};
pub use frame::Frame;
pub use full::{Branch, branch, full, neighbours};
pub use hash::{FlowKey, slot_of};
pub use owner::{Found, Place, found, placed};
pub use rows::{Case, Row};

pub use tables::{MemberId, Tables};

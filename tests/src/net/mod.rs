//! Real networks for tests: namespaces, a switch, hosts on it and servers in them. Knows nothing of what the director
//! decides.
//!
//! Everything is named with a random prefix and removed when its guard is dropped, on panic as well.

mod bpffs;
mod host;
mod namespace;
mod nginx;
mod process;
mod switch;
mod tap;
mod tool;
mod topology;
mod wait;

pub use bpffs::BpfFs;
pub use host::Host;
pub(crate) use host::ifindex;
pub use namespace::{Namespace, sweep};
pub use nginx::Nginx;
pub use process::{Process, Signal};
pub use switch::accept_xdp;
pub use tap::{Seen, Tap};
pub use tool::{python, require_root, run, run_with_input};
pub use topology::{DEFAULT_VIPS, Topology, TopologyBuilder};
pub(crate) use topology::{format_mac, random_prefix};
pub use wait::{scaled, wait_for};

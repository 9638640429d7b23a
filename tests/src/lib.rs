//! What the tests share: real networks, and the decision in the kernel.

pub mod net;

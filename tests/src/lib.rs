//! What the tests share: real networks, packets, what each packet gets, and the decision in the kernel.

pub mod cases;
pub mod kernel;
pub mod load;
pub mod net;
pub mod packet;
pub mod world;

//! What the tests share: real networks, packets, what each packet gets, the decision in the kernel, and its cost.

pub mod bench;
pub mod cases;
pub mod corpus;
pub mod crowd;
pub mod differential;
pub mod kernel;
pub mod lab;
pub mod load;
pub mod local;
pub mod net;
pub mod numbered;
pub mod packet;
pub mod program;
pub mod rebuilt;
pub mod scale;
pub mod stage;
pub mod witness;
pub mod world;

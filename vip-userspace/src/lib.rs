//! The controller of the packet director.

//! The controller of the packet director: it turns a configuration and the backends' health into tables, and
//! publishes them to the kernel.
//!
//! Pure modules ([`config`], [`model`], [`ring`], [`plan`]) decide; they know no kernel, no socket and no clock.
//! The rest carries out: one system each, and no policy.

pub mod config;
pub mod control;
pub mod controller;
pub mod dataplane;
pub mod doctor;
pub mod health;
pub mod model;
pub mod net;
pub mod places;
pub mod plan;
pub mod ring;

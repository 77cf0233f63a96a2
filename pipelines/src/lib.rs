//! The media plane: the worker process that decodes, mixes and encodes, and the control process' side of it.
//!
//! [`worker`] runs in a process of its own and is the only code that touches GStreamer; [`host`] spawns it, feeds it and
//! implements the `Pipeline` trait of `weir-media` round it. The two share nothing but the socket messages.

pub mod elements;
pub mod host;
pub mod worker;

//! What the fuzz targets share. Each target states in its head what has to hold for any input.

pub mod bits;
pub mod chunks;
pub mod memory;
pub mod publisher;
pub mod said;
pub mod script;
pub mod server;

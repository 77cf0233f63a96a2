//! The whole tree in virtual time: real actors and rules, scripted publishers, a fake pipeline, no socket, no GStreamer.

mod admission;
mod broadcast;
mod closing;
mod supervise;
mod supervision;
mod support;

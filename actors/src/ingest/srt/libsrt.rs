//! As much of system libsrt (1.5, gnutls flavour) as a receiver of live streams needs, made safe. All `unsafe` of SRT is in this folder.
//!
//! ```text
//! listener, caller ─▶ connection ─▶ socket ─▶ poller ─▶ library       all on libsrt's C interface, which `c` declares
//! ```
//!
//! libsrt has threads of its own: one receives every datagram of the port and calls the [`Gatekeeper`] for each caller, one per connection
//! decides when a packet is played out. Whoever calls [`Listener::turn`] in a loop learns which sockets have something and wakes those who
//! wait for them; for those that were opened by [`call`], a thread does. Nothing else here waits for anything. What a reader does not fetch in
//! time is dropped by libsrt, of that connection alone.
//!
//! libsrt's own log is off: its lines may hold stream ids, and those hold tokens.

mod address;
mod c;
mod caller;
mod connection;
mod library;
mod listener;
mod poller;
mod socket;

pub use self::caller::{ANSWER_WITHIN, Call, CallError, call};
pub use self::connection::{Broken, Connection, Datagram, Statistics};
pub use self::library::{version, wait_ended};
pub use self::listener::{Caller, Gatekeeper, Listener, Verdict};
pub use self::socket::Options;

/// Most bytes of a datagram's payload: what a frame of 1500 bytes has room for.
pub const MAX_PAYLOAD: usize = 1456;

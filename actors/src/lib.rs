//! The supervision tree of Weir.
//!
//! ```text
//! Root                                     directory, gate, doors; answers the API
//! ├── RtmpListener (one per door)          owns the accept task, holds no stream state
//! └── StreamSupervisor (per active stream) owns slots, sessions, broadcast, status snapshot
//!     ├── FailoverActor                    mailbox and one timer round the pure rule
//!     ├── PipelineActor (per broadcast)    owns the worker process
//!     └── IngestConnection (per publisher) owns the switch that ends the wire task
//! ```
//!
//! Commands go down by address, facts come up one bounded queue per supervisor ([`supervise`]), media goes neither way:
//! it runs from the wire task through a `weir_media::feed` to the worker.
//!
//! | who | takes from above | reports up |
//! |---|---|---|
//! | Root | [`ingest::Publish`], all of [`control`] | replies; [`event::StreamEvent`]s; [`status::StatusBoard`] |
//! | StreamSupervisor | `Admit`, `SetLadder`, `CloseSessions`, `Retire`, `Describe` | its end |
//! | FailoverActor | `MediaSeen` | `Decision::{Begin, Live, OnAir, End}` |
//! | PipelineActor | `OpenInput`, `CloseInput`, `ShowInput`, `InputLive`, `Finish` | `View`, `Transcoding`, `Rejected`, `WorkerDied`, `Degraded` |
//! | IngestConnection | `EndSession` | `Source`, `MediaSeen`, `Closed` |
//! | listener | `StopAccepting` | its end |
//!
//! | who | when it ends | restart |
//! |---|---|---|
//! | RtmpListener | accept loop ended or panicked | by the budget, on the same socket; sessions go on |
//! | StreamSupervisor | panicked | by the budget; its sessions are closed (encoders reconnect), the next broadcast is a new one |
//! | StreamSupervisor | nothing left to do | not; the next publisher starts one |
//! | FailoverActor | panicked or failed | by the budget, from the state its parent knows; nobody else notices |
//! | PipelineActor | panicked or failed | by the budget, with a new broadcast; sessions stay |
//! | worker process | exited or hung | by PipelineActor, by the budget, in the same broadcast |
//! | IngestConnection | its wire task ended, or it failed | never: the encoder reconnects |
//!
//! The budget is [`weir_policy::restart`]: at once after 10 s of health, else 0.5 to 8 s later, and every 10 s when it died
//! more than 5 times in a minute. A Root that dies takes the tree with it; the process has to end then.

pub mod clock;
pub mod config;
mod connection;
pub mod control;
pub mod event;
mod failover;
pub mod ingest;
pub mod journal;
pub mod listener;
mod pipeline;
mod report;
mod root;
pub mod status;
mod stream;
pub mod supervise;
mod timer;
pub mod token;

pub use config::TreeConfig;
pub use listener::{Door, Serve, ServeFactory};
pub use root::{Root, start};

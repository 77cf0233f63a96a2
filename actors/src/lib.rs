//! The supervision tree of Weir.
//!
//! ```text
//! Root                                     directory, gate, doors; answers the API
//! ├── RtmpListener (one per door)          owns the accept task, holds no stream state
//! └── StreamSupervisor (per active stream) owns slots, sessions, broadcast, status snapshot
//!     ├── FailoverActor                    mailbox and one timer round the pure rule
//!     ├── PipelineActor (per broadcast)    owns the worker process
//!     ├── PullActor (of a pulled stream)   the rotation rule, its timer, and the try that runs
//!     └── IngestConnection (per session)   owns the switch that ends the wire task
//! ```
//!
//! Commands go down by address, facts come up one bounded queue per supervisor ([`supervise`]), media goes neither way:
//! it runs from the wire task through a `weir_media::feed` to the worker.
//!
//! | who | takes from above | reports up |
//! |---|---|---|
//! | Root | [`ingest::Publish`], all of [`control`] | replies; [`event::StreamEvent`]s; [`status::StatusBoard`] |
//! | StreamSupervisor | `Admit`, `Wishes`, `Choose`, `RestartChild`, `CloseSessions`, `EndPreflight`, `Retire`, `Describe`, `DescribeChildren` | its end |
//! | FailoverActor | `Told`: the rule's facts | `Ruling`: what the rule decided, and all it knows |
//! | PipelineActor | `OpenInput`, `CloseInput`, `PutOnAir`, `PrepareSlot`, `InputLive`, `Finish` | `View`, `Transcoding`, `Input`, `Shown`, `Gap`, `Alignment`, `Rejected`, `WorkerDied`, `Degraded` |
//! | PullActor | `SessionTold`: how the session fares | `View`, `Ready`, `Cut`, `GaveUp` |
//! | IngestConnection | `EndSession` | `Source`, `MediaSeen`, `Transport`, `Examined`, `Closed` |
//! | listener | `StopAccepting` | its end |
//!
//! Every child answers a [`probe::Probe`], which measures its mailbox.
//!
//! | who | when it ends | restart |
//! |---|---|---|
//! | RtmpListener | accept loop ended or panicked | by the budget, on the same socket; sessions go on |
//! | StreamSupervisor | panicked or failed | by the budget; its sessions are closed (encoders reconnect), the next broadcast is a new one |
//! | StreamSupervisor | nothing left to do | not; the next publisher starts one |
//! | FailoverActor | panicked or failed | by the budget, from the latest ruling's state and the facts since; it decides as if nothing had happened |
//! | PipelineActor | panicked or failed | by the budget, with a new broadcast; sessions stay |
//! | PullActor | panicked or failed | by the budget, from its latest view; the session stays, a try that ran is over |
//! | worker process | exited or hung | by PipelineActor, by the budget, in the same broadcast |
//! | IngestConnection | its wire task ended, or it failed | never: the encoder reconnects |
//!
//! An operator may have any of them started afresh, but Root and a session ([`control::RestartActor`]): it fails with that reason, and its
//! budget is not charged.
//!
//! The budgets are [`weir_policy::restart`]'s, one per child: at once after 10 s of health, else 0.5 to 8 s later. Beyond it a worker
//! or a stream is tried slowly, a FailoverActor or PipelineActor takes its StreamSupervisor with it, a door takes Root. A Root that
//! dies takes the tree with it; the process has to end then ([`RootEnd`]).

#[macro_use]
mod fault;

pub mod admission_board;
pub mod clock;
pub mod config;
mod connection;
pub mod control;
pub mod event;
mod failover;
pub mod health;
pub mod heartbeat;
pub mod ingest;
pub mod journal;
mod ledger;
pub mod listener;
pub mod network;
mod pipeline;
pub mod preflight;
pub mod probe;
mod pull;
pub mod refusals;
mod report;
mod root;
pub mod status;
mod stream;
pub mod supervise;
pub mod survey;
pub mod tally;
mod timer;
pub mod token;

#[cfg(test)]
extern crate self as weir_actors;

/// Target of the spans that are sent as traces where a collector is named. They stand in no log.
pub const SPANS: &str = "spans";

pub use config::{Outside, Restarts, TreeConfig};
pub use listener::{Door, Serve, ServeFactory};
pub use pull::Puller;
pub use root::{Root, RootEnd, start};

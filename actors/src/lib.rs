//! The supervision tree of Weir.
//!
//! ```text
//! Root
//! ├── RtmpListener                         accepts, hands over, holds no stream state
//! └── StreamSupervisor (per active stream) owns slots, journal, status snapshot
//!     ├── IngestConnection                 one per admitted publisher
//!     ├── FailoverActor                    mailbox and one timer round the pure rule
//!     └── PipelineActor                    owns the worker process
//! ```

pub mod clock;
pub mod control;
pub mod event;
pub mod ingest;
pub mod status;
pub mod token;

//! The only messages that the HTTP control API sends into the tree, with their replies. All go to Root.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use secrecy::SecretString;
use serde::Serialize;
use weir_media::failover::FailoverSpec;
use weir_media::id::{Protocol, SessionId, Slot, StreamId};
use weir_media::ladder::Ladder;
use weir_media::pull::PullUri;
use weir_policy::admission::PreflightRefusal;

use crate::journal::JournalReader;
use crate::preflight::PreflightDetail;
use crate::probe::Probe;
use crate::refusals::RefusalLedger;
use crate::token::TokenDigest;

/// What the tree must know of a stream. The API owns all else.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// Its id.
    pub id: StreamId,
    /// The digest of its one push token.
    pub token: TokenDigest,
    /// What SRT publishers have to encrypt with, 10 to 79 characters; `None` for none.
    pub srt_passphrase: Option<SecretString>,
    /// Off refuses and closes publishers.
    pub active: bool,
    /// Fed by pulling; pushes are refused.
    pub pull: bool,
    /// What it is pulled from, in order; used while `pull` and `active` are set.
    pub sources: Arc<[PullUri]>,
    /// Wished rungs; a change takes effect with the next broadcast.
    pub ladder: Ladder,
    /// How it fails over; a change takes effect with the next broadcast.
    pub failover: FailoverSpec,
}

/// Adds a stream or replaces what is known of it. Closes its sessions when it was switched off or to pull, of encoders also when the token
/// changed, and those of them that came by SRT when the passphrase did; switching off ends its broadcast too. A stream that is to be pulled is
/// pulled from now on; with other sources, from those. The old token is refused from then on; the reply
/// comes when the sessions are closed, or after 2 s.
#[derive(Debug, Message)]
#[rtype(result = "Vec<ClosedSession>")]
pub struct PutStream(pub StreamSpec);

impl StreamSpec {
    /// What it is to be pulled from now; nothing unless it is active and set to pull.
    pub(crate) fn pulled(&self) -> Arc<[PullUri]> {
        if self.active && self.pull { Arc::clone(&self.sources) } else { Arc::default() }
    }
}

/// Forgets a stream, closing its sessions and ending its broadcast.
#[derive(Debug, Message)]
#[rtype(result = "Vec<ClosedSession>")]
pub struct RemoveStream(pub StreamId);

/// A session that a control message closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClosedSession {
    /// The session.
    pub session: SessionId,
    /// Its slot.
    pub slot: Slot,
    /// Its door.
    pub protocol: Protocol,
    /// Where its encoder is; `None` of a source that was pulled from.
    pub address: Option<IpAddr>,
    /// From the order to the socket's end; `None` when it did not end within 2 s.
    #[serde(skip)]
    pub took: Option<Duration>,
}

/// Asks for the whole supervision tree; what it carries measures Root's mailbox.
#[derive(Debug, Message)]
#[rtype(result = "crate::status::TreeNode")]
pub struct GetTree(pub Probe);

/// Asks for what monitoring wants of every stream: one question to Root and one to each supervisor.
#[derive(Debug, Message)]
#[rtype(result = "crate::survey::Survey")]
pub struct GetSurvey;

/// Asks for one stream's details; `None` when the tree does not know it.
#[derive(Debug, Message)]
#[rtype(result = "Option<crate::status::StreamDetail>")]
pub struct GetStream(pub StreamId);

/// Asks for one stream's journal, to be read at leisure; `None` when the tree does not know the stream.
#[derive(Debug, Message)]
#[rtype(result = "Option<JournalReader>")]
pub struct GetJournal(pub StreamId);

/// Asks for the refusals of one stream, or with `None` for those of tries that named no stream, to be read at leisure; `None` is
/// answered when the tree does not know the stream.
#[derive(Debug, Message)]
#[rtype(result = "Option<RefusalLedger>")]
pub struct GetRefusals(pub Option<StreamId>);

/// The operator puts a slot on air, or with `None` leaves it to the rules again. The choice holds until its slot is lost. A slot whose
/// input shows no picture yet goes on air with its first one. `None` is answered when the tree does not know the stream.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Option<Result<(), NotLive>>")]
pub struct ChooseSlot {
    /// The stream.
    pub stream: StreamId,
    /// The choice.
    pub slot: Option<Slot>,
}

/// The chosen slot is not live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {0} slot is not live")]
pub struct NotLive(pub Slot);

/// The operator has an actor start afresh, as if it had failed; that does not count against its budget. One that waits to be started again
/// is started at once. `None` is answered when the tree does not know the stream.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Option<Result<(), NotRestarted>>")]
pub struct RestartActor(pub Restartable);

/// What an operator can have started afresh. Not Root: that is the process. Not a session: its encoder comes back, its supervisor does not
/// bring it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restartable {
    /// The door of this kind, e.g. `RtmpListener`. It opens again on the same socket; sessions go on.
    Door(String),
    /// An actor of a stream.
    Stream(StreamId, StreamActor),
}

/// An actor of a stream that can be restarted; what that costs stands in the crate's table of restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamActor {
    /// Closes the stream's sessions; the next broadcast is a new one.
    Supervisor,
    /// Goes on from its latest state.
    Failover,
    /// Kills the worker; goes on with a new broadcast, the sessions stay.
    Pipeline,
    /// Loses the try that runs; the session stays.
    Pull,
}

impl StreamActor {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Supervisor, Self::Failover, Self::Pipeline, Self::Pull];

    /// Its name in the tree.
    pub fn name(self) -> &'static str {
        match self {
            Self::Supervisor => "StreamSupervisor",
            Self::Failover => "FailoverActor",
            Self::Pipeline => "PipelineActor",
            Self::Pull => "PullActor",
        }
    }
}

/// There is no such actor at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such actor at present")]
pub struct NotRestarted;

/// Begins a preflight: until it is over, who publishes to the slot is looked at and does not go on air. `None` is answered when the tree does
/// not know the stream.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Option<Result<PreflightDetail, PreflightRefusal>>")]
pub struct OpenPreflight {
    /// The stream.
    pub stream: StreamId,
    /// A slot that nobody publishes to.
    pub slot: Slot,
    /// How long it takes, whoever comes.
    pub window: Duration,
}

/// Asks for the latest preflight of a stream since the server started; `None` when there was none.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Option<PreflightDetail>")]
pub struct GetPreflight(pub StreamId);

/// Ends the preflight that runs, and the session in it. The slot goes on air as usual from then on. `None` when none runs.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Option<PreflightDetail>")]
pub struct EndPreflight(pub StreamId);

/// Refuse new publishers, say good-bye to the admitted ones, let workers flush; the reply comes when all are gone. Root goes on
/// answering until [`Stop`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drain;

/// Ends Root, and whatever has outlived the drain. Only then does the tree let go of its event sink and its pipeline factory.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Stop;

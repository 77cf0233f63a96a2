//! Who may publish, asked from any thread without waiting for the tree.
//!
//! A door that has to answer at once, as libsrt's listen callback has, asks [`AdmissionBoard::ask`] and sends
//! [`Publish`](crate::ingest::Publish) behind it. Both answers come from the same rules ([`weir_policy::admission`]) on the same state:
//! Root writes the directory here, each StreamSupervisor its slots, and both read it here too. What the two can differ in is time: a
//! publisher that was told yes may find its slot taken a moment later, so only `Publish` admits. Locks are held for a look, never while
//! waiting for anything.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use secrecy::SecretString;
use weir_media::id::{Protocol, Slot, StreamId};
use weir_policy::admission::{Admission, AdmissionPolicy, Claim, Gate, Refusal, gate};
use weir_policy::wrong_tokens::WrongTokens;

use crate::clock;
use crate::control::StreamSpec;
use crate::journal::Journal;
use crate::refusals::{Applicant, OF_NODE, PER_STREAM, RefusalLedger};
use crate::token::{DigestKey, Token, TokenDigest};

/// The directory of streams as doors see it; cloning shares it.
#[derive(Clone)]
pub struct AdmissionBoard {
    key: DigestKey,
    directory: Arc<RwLock<Directory>>,
    wrong: Arc<Mutex<WrongTokens>>,
    /// Of tries that name no stream.
    refusals: RefusalLedger,
}

/// What a door needs of a stream before its publisher is admitted.
#[derive(Clone, Debug)]
pub struct Admissible {
    /// The stream's SRT passphrase; `None` when it has none, and a caller that brings one has to be refused.
    pub passphrase: Option<SecretString>,
}

/// One stream's slots: written by its supervisor, read by the board. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Slots(Arc<Mutex<Admission>>);

struct Directory {
    draining: bool,
    streams: HashMap<StreamId, Entry>,
}

struct Entry {
    token: TokenDigest,
    active: bool,
    pull: bool,
    passphrase: Option<SecretString>,
    /// Its supervisor keeps dying, and the next try is too far away to wait for.
    down: bool,
    slots: Slots,
    journal: Journal,
    refusals: RefusalLedger,
}

impl AdmissionBoard {
    /// An empty one. The digests of tokens in the directory are made with this key.
    pub fn new(key: DigestKey) -> Self {
        let directory = Directory { draining: false, streams: HashMap::new() };
        Self {
            key,
            directory: Arc::new(RwLock::new(directory)),
            wrong: Arc::default(),
            refusals: RefusalLedger::new(OF_NODE),
        }
    }

    /// What Root would answer now to a publisher. Records no admission, but counts a wrong token. `stream` is `None` when the name is no
    /// stream id at all.
    pub fn ask(
        &self,
        stream: Option<StreamId>,
        slot: Slot,
        token: &Token,
        protocol: Protocol,
        address: IpAddr,
    ) -> Result<Admissible, Refusal> {
        let offered = self.digest(stream, token);
        let (slots, passphrase) = {
            let directory = self.read();
            let entry = directory.gate(stream, &offered).map_err(|refusal| self.count_wrong(refusal, address))?;
            if entry.down {
                return Err(Refusal::Restarting);
            }
            (entry.slots.clone(), entry.passphrase.clone())
        };
        let address = address.to_canonical();
        slots.lock().check(&Claim { slot, protocol, address }, clock::now())?;
        Ok(Admissible { passphrase })
    }

    /// Writes a refusal down: in the ledger and the journal of the stream that was named, else in the node's ledger. A door records what
    /// [`Self::ask`] refused; what Root refuses, Root records.
    pub fn record(&self, who: &Applicant, refusal: &Refusal) {
        let kept = who.stream.and_then(|id| {
            let directory = self.read();
            directory.streams.get(&id).map(|entry| (entry.refusals.clone(), entry.journal.clone()))
        });
        let Some((refusals, journal)) = kept else { return self.refusals.record(who, refusal) };
        refusals.record(who, refusal);
        let why = match refusal {
            // Without the time, which differs with every try.
            Refusal::RateLimited { .. } => "too many connections".to_owned(),
            refusal => refusal.to_string(),
        };
        let Applicant { slot, protocol, address, .. } = who;
        journal.note_once(format!("refused {protocol} {slot} from {address}: {why}"), refusal.is_strangers());
    }

    /// The ledger of a stream, or with `None` of tries that named no stream. `None` when there is no such stream.
    pub fn refusals(&self, stream: Option<StreamId>) -> Option<RefusalLedger> {
        match stream {
            Some(id) => self.read().streams.get(&id).map(|entry| entry.refusals.clone()),
            None => Some(self.refusals.clone()),
        }
    }

    /// The questions that need no slot, token first; names the stream that the publisher may ask for a slot.
    pub(crate) fn gate(&self, stream: Option<StreamId>, token: &Token, address: IpAddr) -> Result<StreamId, Refusal> {
        let offered = self.digest(stream, token);
        self.read().gate(stream, &offered).map_err(|refusal| self.count_wrong(refusal, address))?;
        stream.ok_or(Refusal::NotAuthorized { known: false })
    }

    /// Adds a stream or replaces what is known of it.
    pub(crate) fn put(&self, spec: &StreamSpec, slots: &Slots, journal: &Journal) {
        let StreamSpec { id, token, active, pull, srt_passphrase: passphrase, .. } = spec.clone();
        let (slots, journal) = (slots.clone(), journal.clone());
        let streams = &mut self.write().streams;
        let (down, refusals) = match streams.remove(&id) {
            Some(old) => (old.down, old.refusals),
            None => (false, RefusalLedger::new(PER_STREAM)),
        };
        streams.insert(id, Entry { token, active, pull, passphrase, down, slots, journal, refusals });
    }

    /// Forgets a stream.
    pub(crate) fn remove(&self, stream: StreamId) {
        self.write().streams.remove(&stream);
    }

    /// Whether a stream's supervisor keeps dying, so that publishers are refused until it runs again.
    pub(crate) fn set_down(&self, stream: StreamId, down: bool) {
        if let Some(entry) = self.write().streams.get_mut(&stream) {
            entry.down = down;
        }
    }

    /// The server is going down: nobody is let in any more.
    pub(crate) fn drain(&self) {
        self.write().draining = true;
    }

    /// Names that are no stream id cost the same digest.
    fn digest(&self, stream: Option<StreamId>, token: &Token) -> TokenDigest {
        self.key.digest(stream.unwrap_or(StreamId(0)), token)
    }

    /// Who tries wrong tokens too often is not answered. A right one never comes here.
    fn count_wrong(&self, refusal: Refusal, address: IpAddr) -> Refusal {
        let Refusal::NotAuthorized { known } = refusal else { return refusal };
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).refuse(known, address, clock::now())
    }

    fn read(&self) -> RwLockReadGuard<'_, Directory> {
        // Nothing panics under the lock.
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Directory> {
        self.directory.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory {
    /// Unknown streams cost the same comparison.
    fn gate(&self, stream: Option<StreamId>, offered: &TokenDigest) -> Result<&Entry, Refusal> {
        let entry = stream.and_then(|id| self.streams.get(&id));
        let token_matches = entry.map_or(&TokenDigest::NONE, |entry| &entry.token) == offered;
        gate(Gate {
            known: entry.is_some(),
            token_matches,
            draining: self.draining,
            active: entry.is_some_and(|entry| entry.active),
            pull: entry.is_some_and(|entry| entry.pull),
        })?;
        entry.ok_or(Refusal::NotAuthorized { known: false })
    }
}

impl Slots {
    /// Free ones.
    pub fn new(policy: AdmissionPolicy) -> Self {
        Self(Arc::new(Mutex::new(Admission::new(policy))))
    }

    /// To read or to change them.
    pub fn lock(&self) -> MutexGuard<'_, Admission> {
        // The rule does not panic; a poisoned one is still a consistent one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees all: their supervisor is gone, and its sessions with it.
    pub fn clear(&self) {
        self.lock().clear();
    }
}

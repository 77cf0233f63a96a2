//! Who is signed in to the panel: random cookies, of which digests are kept, in memory, for half a day. And how often a wrong key may be
//! tried to get one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::TryRngCore;
use tokio::sync::watch;
use weir_actors::clock;
use weir_policy::party::party;
use weir_policy::rate_limit::RateLimit;

use crate::config::Secret;
use crate::http::auth::digest;
use crate::store::hex;

/// How long a session lasts.
pub const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions at a time; the oldest gives way.
const MAX_SESSIONS: usize = 64;
/// Random bytes in a cookie.
const BYTES: usize = 32;
/// Wrong keys that one party may try at once …
const WRONG_KEYS: u32 = 10;
/// … and then one in this time: a key of 40 random bits withstands thousands of years of it.
const WRONG_KEY_EVERY: Duration = Duration::from_secs(6);

/// A session: the digest of its cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session([u8; 32]);

/// All sessions; cloning shares them.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    table: Mutex<Table>,
    /// Raised when sessions are closed before their time.
    closed: watch::Sender<u64>,
}

struct Table {
    /// When each is over.
    ends: BTreeMap<Session, Instant>,
    wrong: RateLimit<Option<IpAddr>>,
}

impl Default for Sessions {
    fn default() -> Self {
        let table = Table { ends: BTreeMap::new(), wrong: RateLimit::new(WRONG_KEY_EVERY, WRONG_KEYS) };
        Self(Arc::new(Inner { table: Mutex::new(table), closed: watch::Sender::default() }))
    }
}

impl Sessions {
    /// Whether a client may try a key; else how long until it may.
    pub fn may_try(&self, client: Option<IpAddr>) -> Result<(), Duration> {
        self.lock().wrong.check(client.map(party), clock::now())
    }

    /// A client has tried a wrong one.
    pub fn tried_wrong(&self, client: Option<IpAddr>) {
        self.lock().wrong.record(client.map(party), clock::now());
    }

    /// Begins a session and gives its cookie, which is not kept. Fails when the system gives no random bytes.
    pub fn open(&self) -> Result<Secret, rand::rand_core::OsError> {
        let mut bytes = [0_u8; BYTES];
        rand::rngs::OsRng.try_fill_bytes(&mut bytes)?;
        let (cookie, now) = (hex(&bytes), clock::now());
        let mut table = self.lock();
        table.ends.retain(|_, end| *end > now);
        if table.ends.len() >= MAX_SESSIONS
            && let Some((&oldest, _)) = table.ends.iter().min_by_key(|(_, end)| **end)
        {
            table.ends.remove(&oldest);
        }
        table.ends.insert(Session(digest(&cookie)), now + LIFETIME);
        drop(table);
        self.0.closed.send_modify(|times| *times += 1);
        Ok(Secret::new(cookie))
    }

    /// The session of a cookie.
    pub fn find(&self, cookie: &str) -> Option<Session> {
        let session = Session(digest(cookie));
        self.end(session).map(|_| session)
    }

    /// Ends a session.
    pub fn close(&self, session: Session) {
        self.lock().ends.remove(&session);
        self.0.closed.send_modify(|times| *times += 1);
    }

    /// Comes back when a session is over.
    pub async fn over(&self, session: Session) {
        let mut closed = self.0.closed.subscribe();
        while let Some(end) = self.end(session) {
            tokio::select! {
                _ = closed.changed() => {}
                () = tokio::time::sleep_until(end.into()) => {}
            }
        }
    }

    /// When a session that is not over will be.
    fn end(&self, session: Session) -> Option<Instant> {
        self.lock().ends.get(&session).copied().filter(|end| clock::now() < *end)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics under the lock.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn open(sessions: &Sessions) -> (String, Session) {
        let cookie = sessions.open().unwrap().expose().to_owned();
        let session = sessions.find(&cookie).expect("it is known");
        (cookie, session)
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_lasts_for_twelve_hours_or_until_it_is_closed() {
        let sessions = Sessions::default();
        let ((first, session), (second, other)) = (open(&sessions), open(&sessions));
        assert_eq!(first.len(), 64);
        assert_ne!(first, second);
        let mut over = Box::pin(sessions.over(session));
        sessions.close(other);
        assert!(sessions.find(&second).is_none() && sessions.find("").is_none());
        sessions.over(other).await;
        assert!(over.as_mut().now_or_never().is_none(), "another one's end is not its own");
        tokio::time::advance(LIFETIME - Duration::from_secs(1)).await;
        assert!(sessions.find(&first).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(sessions.find(&first).is_none());
        over.await;
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_at_a_time_and_who_is_pushed_out_is_told() {
        let sessions = Sessions::default();
        let (first, session) = open(&sessions);
        tokio::time::advance(Duration::from_secs(1)).await;
        let (second, _) = open(&sessions);
        (2..MAX_SESSIONS).for_each(|_| _ = open(&sessions));
        assert!(sessions.find(&first).is_some());
        let over = tokio::spawn({
            let sessions = sessions.clone();
            async move { sessions.over(session).await }
        });
        tokio::task::yield_now().await;
        open(&sessions);
        assert!(sessions.find(&first).is_none() && sessions.find(&second).is_some());
        over.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_tries_ten_wrong_keys_waits_and_nobody_else_does() {
        let sessions = Sessions::default();
        let from = |text: &str| Some(text.parse().unwrap());
        for host in 0..WRONG_KEYS {
            let client = from(&format!("2001:db8::{host}"));
            assert_eq!(sessions.may_try(client), Ok(()));
            sessions.tried_wrong(client);
        }
        assert_eq!(sessions.may_try(from("2001:db8::ffff")), Err(WRONG_KEY_EVERY));
        assert_eq!(sessions.may_try(from("2001:db8:0:1::1")), Ok(()));
        tokio::time::advance(WRONG_KEY_EVERY).await;
        assert_eq!(sessions.may_try(from("2001:db8::1")), Ok(()));
    }
}

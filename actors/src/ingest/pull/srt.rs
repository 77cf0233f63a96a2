//! Pulling by SRT: calls a listener, and takes MPEG-TS from it as the door does from its callers.
//!
//! Nothing that waits here blocks libsrt: what is not fetched in time it drops, of this connection alone. The stream id and the passphrase
//! go to the listener and nowhere else.

use std::convert::Infallible;

use secrecy::SecretString;
use tokio::time::{sleep_until, timeout};
use weir_media::pull::{MAX_LATENCY, PullUri, SrtParameters};

use super::{CONNECT_WITHIN, Fetched, Outlet, PullError};
use crate::clock;
use crate::ingest::srt::SrtLimits;
use crate::ingest::srt::libsrt::{ANSWER_WITHIN, Call, CallError, Connection, Options, call};
use crate::ingest::srt::reception::{Over, Reception, STRETCH};
use crate::network::{Network, NetworkError, TRIES};

/// Fetches a source.
pub async fn fetch(source: &PullUri, network: &Network, outlet: &Outlet) -> Result<Infallible, PullError> {
    let connection = match timeout(CONNECT_WITHIN, connect(source, network)).await {
        Ok(connected) => connected?,
        Err(_) => return Err(PullError::Timeout(CONNECT_WITHIN)),
    };
    let mut reception = Reception::new(connection, clock::now());
    let ended = receive_all(&mut reception, outlet).await;
    if reception.finish() {
        // The last frame, if it is whole; whether somebody still takes it changes nothing.
        let _ = hand_on(&mut reception, outlet).await;
    }
    ended
}

/// The first of the source's addresses that takes the call; else what the last one said.
async fn connect(source: &PullUri, network: &Network) -> Result<Connection, PullError> {
    let SrtParameters { stream_id, passphrase, key_length, latency } =
        source.srt().map_err(|error| PullError::Refused(error.to_string()))?;
    let (stream_id, passphrase) = (stream_id.map(SecretString::from), passphrase.map(SecretString::from));
    let door = SrtLimits::default().options;
    let options = Options { latency: door.latency.max(latency.unwrap_or_default()), ..door };
    let mut last = PullError::Timeout(CONNECT_WITHIN);
    for address in network.resolve(&source.host(), source.port()).await?.into_iter().take(TRIES) {
        let (stream_id, passphrase) = (stream_id.clone(), passphrase.clone());
        match call(Call { address, options, stream_id, passphrase, key_length }).await {
            Ok(connection) if connection.latency() > MAX_LATENCY => {
                let latency = connection.latency();
                last = PullError::Refused(format!("asks for a latency of {latency:?}, at most {MAX_LATENCY:?}"));
            }
            Ok(connection) => return Ok(connection),
            Err(error @ CallError::Rejected(_)) => last = PullError::Refused(error.to_string()),
            Err(CallError::Unanswered) => last = PullError::Timeout(ANSWER_WITHIN),
            Err(CallError::Socket(source)) => last = NetworkError::Connect { address, source }.into(),
        }
    }
    Err(last)
}

/// Receives until there is a reason to end.
async fn receive_all(reception: &mut Reception, outlet: &Outlet) -> Result<Infallible, PullError> {
    loop {
        let more = receive(reception, outlet).await?;
        if let Some(stats) = reception.report(clock::now()) {
            outlet.put(Fetched::Transport(stats)).await?;
        }
        if more {
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            () = reception.readable() => {}
            () = sleep_until(reception.due().into()) => {}
        }
    }
}

/// Takes what has come; whether there may be more.
async fn receive(reception: &mut Reception, outlet: &Outlet) -> Result<bool, PullError> {
    let (mut heard, mut more) = (0, Ok(true));
    for _ in 0..STRETCH {
        match reception.receive(clock::now()) {
            Ok(Some(bytes)) => heard += bytes,
            Ok(None) => more = Ok(false),
            Err(over) => more = Err(over.into()),
        }
        let Ok(true) = more else { break };
        hand_on(reception, outlet).await?;
    }
    if heard > 0 {
        outlet.put(Fetched::Heard(heard)).await?;
    }
    more
}

/// Hands on what is complete.
async fn hand_on(reception: &mut Reception, outlet: &Outlet) -> Result<(), PullError> {
    while let Some(item) = reception.poll() {
        outlet.put(Fetched::Item(item)).await?;
    }
    Ok(())
}

impl From<Over> for PullError {
    fn from(over: Over) -> Self {
        match over {
            Over::Closed => Self::Ended,
            Over::Lost(why) => Self::Lost(why),
            Over::Unacceptable(error) => Self::Unacceptable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;

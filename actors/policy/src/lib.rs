//! The pure rules of the control plane.
//!
//! Every decision that an actor carries out is made here, by a value that holds state and takes `now`: no IO, no
//! clock, no randomness (jitter is an argument). Actors are the mailbox, the timer and the wiring round one of these.
//!
//! | rule | decides |
//! |---|---|
//! | [`admission`] | who may publish where, and who has been silent for too long |
//! | [`wrong_tokens`] | who tries wrong tokens so often that he is not answered |
//! | [`rate_limit`] | how often one publisher may connect |
//! | [`party`] | who counts as one stranger |
//! | [`network`] | which addresses may be connected to on somebody's word |
//! | [`delivery`] | which webhook message is sent next, and when one that was refused is sent again |
//! | [`rotation`] | which of its sources a stream pulls from, and when it gives up |
//! | [`doctor`] | what is wrong with what an encoder sends |
//! | [`failover`] | which slot is live, which one is on air, when a broadcast begins and ends |
//! | [`restart`], [`backoff`] | when a child that ended is started again |
//! | [`hang`] | when a worker counts as hung |
//! | [`reload`] | when files that changed are read again |

pub mod admission;
pub mod backoff;
pub mod delivery;
pub mod doctor;
pub mod failover;
pub mod hang;
pub mod network;
pub mod party;
pub mod rate_limit;
pub mod reload;
pub mod restart;
pub mod rotation;
pub mod wrong_tokens;

#[cfg(test)]
mod test_clock {
    /// Some instant to count from; rules never see the real clock.
    #[allow(clippy::disallowed_methods)]
    pub fn start() -> std::time::Instant {
        std::time::Instant::now()
    }
}

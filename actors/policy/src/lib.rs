//! The pure rules of the control plane.
//!
//! Every decision that an actor carries out is made here, by a value that holds state and takes `now`: no IO, no
//! clock, no randomness (jitter is an argument). Actors are the mailbox, the timer and the wiring round one of these.
//!
//! | rule | decides |
//! |---|---|
//! | [`admission`] | who may publish where |

pub mod admission;

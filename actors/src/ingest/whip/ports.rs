//! UDP ports for media: one per session, because webrtc 0.21 has no multiplexer for one port.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A range of ports; cloning shares it.
#[derive(Clone)]
pub(super) struct Ports {
    first: u16,
    last: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    taken: BTreeSet<u16>,
    /// Where to look next: a port that was given back rests, so that its last packets reach no other session.
    next: u16,
}

/// A port of one's own; dropping it gives it back.
pub(super) struct Port {
    number: u16,
    ports: Ports,
}

impl Ports {
    /// All from first to last.
    pub fn new(first: u16, last: u16) -> Self {
        Self { first, last, state: Arc::default() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.last.saturating_sub(self.first)) + 1
    }

    /// One that no session has and that no other program has bound.
    pub fn claim(&self) -> Option<Port> {
        let mut state = self.lock();
        for _ in 0..self.len() {
            let number = state.next.clamp(self.first, self.last);
            state.next = if number == self.last { self.first } else { number + 1 };
            if !state.taken.contains(&number) && UdpSocket::bind((Ipv4Addr::UNSPECIFIED, number)).is_ok() {
                state.taken.insert(number);
                return Some(Port { number, ports: self.clone() });
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Port {
    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.ports.lock().taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_is_given_once_until_it_comes_back_and_never_one_that_is_in_use_elsewhere() {
        // Three neighbours that are free now; other tests take single ports meanwhile.
        let busy = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let number = busy.local_addr().unwrap().port();
        assert!(Ports::new(number, number).claim().is_none());
        drop(busy);
        let ports = Ports::new(number, number);
        let port = ports.claim().unwrap();
        assert_eq!((port.number(), ports.len()), (number, 1));
        assert!(ports.claim().is_none());
        drop(port);
        assert!(ports.claim().is_some());
    }

    #[test]
    fn a_port_rests_before_it_is_given_again() {
        let ports = Ports::new(47_800, 47_899);
        let numbers: Vec<_> = (0..5).map(|_| ports.claim().unwrap().number()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    }
}

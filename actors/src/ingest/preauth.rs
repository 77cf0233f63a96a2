//! Caps on connections that have not been admitted yet: so many per address, so many in all. Whoever comes last gets in,
//! and the oldest stranger has to go: a flood thus pushes out itself, while an encoder needs a moment only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Counts the strangers of one door; cloning shares it.
#[derive(Clone)]
pub struct Gate {
    state: Arc<Mutex<State>>,
    per_address: usize,
    total: usize,
}

/// One stranger's place. Dropping it, at the end or at admission, frees the place.
pub struct Ticket {
    gate: Gate,
    number: u64,
    shed: oneshot::Receiver<()>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// In the order of arrival.
    strangers: BTreeMap<u64, (IpAddr, oneshot::Sender<()>)>,
    by_address: HashMap<IpAddr, BTreeSet<u64>>,
}

impl Gate {
    /// A gate for `per_address` strangers of one address (IPv6: of one /64) and `total` in all; both at least 1.
    pub fn new(per_address: usize, total: usize) -> Self {
        Self { state: Arc::default(), per_address: per_address.max(1), total: total.max(1) }
    }

    /// Takes a place, pushing out the oldest stranger when there is none.
    pub fn enter(&self, address: IpAddr) -> Ticket {
        let address = prefix(address);
        let (sender, shed) = oneshot::channel();
        let mut state = self.lock();
        let oldest_here = state
            .by_address
            .get(&address)
            .filter(|numbers| numbers.len() >= self.per_address)
            .and_then(|numbers| numbers.first().copied());
        let oldest = || state.strangers.keys().next().copied().filter(|_| state.strangers.len() >= self.total);
        if let Some(number) = oldest_here.or_else(oldest)
            && let Some(stranger) = state.remove(number)
        {
            // Its task may be gone this very moment; then its place is free all the same.
            let _ = stranger.send(());
        }
        let number = state.next;
        state.next += 1;
        state.strangers.insert(number, (address, sender));
        state.by_address.entry(address).or_default().insert(number);
        Ticket { gate: self.clone(), number, shed }
    }

    /// Strangers at the moment.
    pub fn strangers(&self) -> usize {
        self.lock().strangers.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Waits until a newcomer takes the place.
    pub async fn shed(&mut self) {
        // A dropped sender means the same as a message.
        let _ = (&mut self.shed).await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.gate.lock().remove(self.number);
    }
}

impl State {
    fn remove(&mut self, number: u64) -> Option<oneshot::Sender<()>> {
        let (address, shed) = self.strangers.remove(&number)?;
        if let Some(numbers) = self.by_address.get_mut(&address) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_address.remove(&address);
            }
        }
        Some(shed)
    }
}

/// What one party has: an IPv4 address, or an IPv6 /64.
fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_shed(ticket: &mut Ticket) -> bool {
        ticket.shed.try_recv().is_ok()
    }

    #[test]
    fn the_oldest_of_an_address_goes_first() {
        let gate = Gate::new(2, 100);
        let [here, there] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let mut other = gate.enter(there);
        let mut first = gate.enter(here);
        let mut second = gate.enter(here);
        let mut third = gate.enter(here);
        assert_eq!([&mut other, &mut first, &mut second, &mut third].map(is_shed), [false, true, false, false]);
        assert_eq!(gate.strangers(), 3);
        drop((other, first, second, third));
        assert_eq!(gate.strangers(), 0);
        assert!(gate.lock().by_address.is_empty());
    }

    #[test]
    fn the_total_is_kept_over_many_addresses() {
        let gate = Gate::new(64, 3);
        let mut tickets: Vec<_> = (1..=5u8).map(|last| gate.enter([192, 0, 2, last].into())).collect();
        assert_eq!(tickets.iter_mut().map(is_shed).collect::<Vec<_>>(), [true, true, false, false, false]);
        assert_eq!(gate.strangers(), 3);
    }

    #[test]
    fn a_place_is_free_again_after_admission() {
        let gate = Gate::new(1, 1);
        drop(gate.enter([192, 0, 2, 1].into()));
        let mut next = gate.enter([192, 0, 2, 1].into());
        assert!(!is_shed(&mut next));
    }

    #[test]
    fn an_ipv6_network_is_one_party_and_a_mapped_address_is_ipv4() {
        let at = |text: &str| prefix(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }
}

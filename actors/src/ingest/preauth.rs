//! Caps on connections that have not been admitted yet: so many per [`party`], so many in all.
//!
//! Whoever comes last gets in, and where there is no room the party with the most strangers gives up its oldest. So a flood
//! pushes out itself, an encoder elsewhere notices nothing of it, and one behind the flood's own address has as long as the
//! flood takes to fill all places: with some thousand places, longer than it needs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use weir_policy::party::party;

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
    /// Tickets that are held, also by those who were pushed out and have not noticed yet.
    tickets: usize,
    strangers: HashMap<u64, (IpAddr, oneshot::Sender<()>)>,
    /// Each party's strangers; their numbers are in the order of arrival.
    parties: HashMap<IpAddr, BTreeSet<u64>>,
    /// The parties by size, of equal ones that with the older stranger last.
    ranks: BTreeMap<Rank, IpAddr>,
}

/// How many strangers a party has, and the number of the oldest.
type Rank = (usize, Reverse<u64>);

impl Gate {
    /// A gate for `per_address` strangers of one address (IPv6: of one /64) and `total` in all; both at least 1.
    pub fn new(per_address: usize, total: usize) -> Self {
        Self { state: Arc::default(), per_address: per_address.max(1), total: total.max(1) }
    }

    /// Takes a place, pushing out another stranger when there is none.
    pub fn enter(&self, address: IpAddr) -> Ticket {
        let address = party(address);
        let (sender, shed) = oneshot::channel();
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.tickets += 1;
        state.strangers.insert(number, (address, sender));
        state.change(address, |numbers| _ = numbers.insert(number));
        let surplus = if state.parties.get(&address).is_some_and(|numbers| numbers.len() > self.per_address) {
            state.parties.get(&address).and_then(|numbers| numbers.first().copied())
        } else if state.strangers.len() > self.total {
            state.ranks.last_key_value().map(|((_, Reverse(oldest)), _)| *oldest)
        } else {
            None
        };
        if let Some(stranger) = surplus.and_then(|number| state.remove(number)) {
            // Its task may be gone this very moment; then its place is free all the same.
            let _ = stranger.send(());
        }
        Ticket { gate: self.clone(), number, shed }
    }

    /// Strangers at the moment.
    pub fn strangers(&self) -> usize {
        self.lock().strangers.len()
    }

    /// Those who were pushed out and are still here: whoever lets in more should give them time to go.
    pub fn leaving(&self) -> usize {
        let state = self.lock();
        state.tickets - state.strangers.len()
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
        let mut state = self.gate.lock();
        state.tickets -= 1;
        state.remove(self.number);
    }
}

impl State {
    fn remove(&mut self, number: u64) -> Option<oneshot::Sender<()>> {
        let (address, shed) = self.strangers.remove(&number)?;
        self.change(address, |numbers| _ = numbers.remove(&number));
        Some(shed)
    }

    /// Changes a party's strangers and with them its rank.
    fn change(&mut self, address: IpAddr, change: impl FnOnce(&mut BTreeSet<u64>)) {
        let numbers = self.parties.entry(address).or_default();
        if let Some(rank) = rank(numbers) {
            self.ranks.remove(&rank);
        }
        change(numbers);
        match rank(numbers) {
            Some(rank) => _ = self.ranks.insert(rank, address),
            None => _ = self.parties.remove(&address),
        }
    }
}

fn rank(numbers: &BTreeSet<u64>) -> Option<Rank> {
    Some((numbers.len(), Reverse(*numbers.first()?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        assert_eq!((gate.strangers(), gate.leaving()), (3, 1));
        drop((other, first, second, third));
        assert_eq!((gate.strangers(), gate.leaving()), (0, 0));
        let state = gate.lock();
        assert!(state.parties.is_empty() && state.ranks.is_empty());
    }

    #[test]
    fn the_total_is_kept_over_many_addresses() {
        let gate = Gate::new(64, 3);
        let mut tickets: Vec<_> = (1..=5u8).map(|last| gate.enter([192, 0, 2, last].into())).collect();
        assert_eq!(tickets.iter_mut().map(is_shed).collect::<Vec<_>>(), [true, true, false, false, false]);
        assert_eq!(gate.strangers(), 3);
    }

    #[test]
    fn the_party_with_the_most_strangers_pays() {
        let gate = Gate::new(100, 4);
        let [here, there] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let mut encoder = gate.enter(there);
        let mut flood: Vec<_> = (0..1000).map(|_| gate.enter(here)).collect();
        assert!(!is_shed(&mut encoder));
        assert_eq!(flood.iter_mut().filter_map(|ticket| (!is_shed(ticket)).then_some(())).count(), 3);
        let mut second = gate.enter(there);
        assert!(!is_shed(&mut encoder) && !is_shed(&mut second));
        assert_eq!(gate.strangers(), 4);
    }

    #[test]
    fn an_encoder_behind_the_floods_own_address_has_the_time_of_all_places() {
        let gate = Gate::new(4096, 4096);
        let here = [192, 0, 2, 1].into();
        let mut flood: Vec<_> = (0..5000).map(|_| gate.enter(here)).collect();
        let mut encoder = gate.enter(here);
        flood.extend((0..4095).map(|_| gate.enter(here)));
        assert!(!is_shed(&mut encoder));
        flood.push(gate.enter(here));
        assert!(is_shed(&mut encoder));
    }

    #[test]
    fn a_place_is_free_again_after_admission() {
        let gate = Gate::new(1, 1);
        drop(gate.enter([192, 0, 2, 1].into()));
        let mut next = gate.enter([192, 0, 2, 1].into());
        assert!(!is_shed(&mut next));
    }

    proptest! {
        #[test]
        fn ranks_and_parties_agree_whatever_comes_and_goes(steps in prop::collection::vec((0u8..6, any::<bool>(), any::<prop::sample::Index>()), 1..200)) {
            let gate = Gate::new(5, 9);
            let mut tickets: Vec<Ticket> = vec![];
            for (last, comes, which) in steps {
                if comes || tickets.is_empty() {
                    tickets.push(gate.enter([192, 0, 2, last].into()));
                    prop_assert!(!is_shed(tickets.last_mut().unwrap()), "whoever comes last gets in");
                } else {
                    tickets.swap_remove(which.index(tickets.len()));
                }
                tickets.retain_mut(|ticket| !is_shed(ticket));
                let state = gate.lock();
                prop_assert_eq!(state.strangers.len(), tickets.len());
                prop_assert!(tickets.len() <= 9 && state.parties.values().all(|numbers| numbers.len() <= 5));
                let ranks: BTreeMap<_, _> = state.parties.iter().map(|(address, numbers)| (rank(numbers).unwrap(), *address)).collect();
                prop_assert_eq!(&state.ranks, &ranks);
            }
        }
    }
}

//! Places where a test can make an actor panic. Outside this crate's own tests they are compiled to nothing.

/// A panic here, if a test wants one. Named `Actor: what is handled`.
macro_rules! fault {
    ($entry:expr) => {
        #[cfg(test)]
        $crate::fault::hit($entry);
    };
}

#[cfg(test)]
pub(crate) use armed::{arm, hit, is_spent, restart_timer};

#[cfg(test)]
mod armed {
    use std::any::type_name;
    use std::cell::RefCell;

    thread_local! {
        /// The entry that panics next. A tree under test has one thread.
        static ARMED: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    /// Makes the next pass of this entry panic.
    pub fn arm(entry: &str) {
        ARMED.set(Some(entry.to_owned()));
    }

    /// It has panicked.
    pub fn is_spent() -> bool {
        ARMED.with_borrow(Option::is_none)
    }

    pub fn hit(entry: impl AsRef<str>) {
        let entry = entry.as_ref();
        let armed = ARMED.with_borrow_mut(|armed| armed.take_if(|armed| armed == entry).is_some());
        assert!(!armed, "fault at {entry}");
    }

    /// The entry of a parent's timer that restarts a child.
    pub fn restart_timer<P>() -> String {
        let name = type_name::<P>();
        format!("{}: restart timer", name.rsplit("::").next().unwrap_or(name))
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod takeover;

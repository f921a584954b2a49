//! A clock that a test holds in its hand.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::{Clock, Timestamp};

/// A clock that stands still, or rides on tokio's (paused) time; both can be moved by hand.
#[derive(Debug)]
pub struct SimClock {
    base: Mutex<Timestamp>,
    riding: Option<Riding>,
}

#[derive(Debug)]
struct Riding {
    since: Instant,
    // Threads outside the runtime would otherwise see the machine's time instead of the paused one.
    runtime: Handle,
}

impl SimClock {
    /// A clock that shows `now` until it is moved by hand. Needs no runtime.
    pub fn frozen(now: Timestamp) -> Self {
        Self { base: Mutex::new(now), riding: None }
    }

    /// A clock that shows `now` and moves with tokio's time: with `start_paused`, only as timers fire or a test calls
    /// `tokio::time::advance`. It may be read from any thread.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn on_tokio(now: Timestamp) -> Self {
        let riding = Riding { since: Instant::now(), runtime: Handle::current() };
        Self { base: Mutex::new(now), riding: Some(riding) }
    }

    /// Moves this clock forward without moving tokio's timers.
    pub fn advance(&self, by: Duration) {
        let mut base = self.base.lock();
        *base = base.plus(by);
    }

    /// Makes this clock show `now`, which may lie in the past, as when an operator sets a machine's clock.
    pub fn set(&self, now: Timestamp) {
        let elapsed = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
        *self.base.lock() = Timestamp(now.0.saturating_sub(elapsed));
    }

    fn elapsed(&self) -> Duration {
        self.riding.as_ref().map_or(Duration::ZERO, |riding| {
            let _runtime = riding.runtime.enter();
            riding.since.elapsed()
        })
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.base.lock().plus(self.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const NOON: Timestamp = Timestamp(1_700_000_000_000);

    #[test]
    fn a_frozen_clock_moves_only_by_hand() {
        let clock = SimClock::frozen(NOON);
        assert_eq!(clock.now(), NOON);
        clock.advance(Duration::from_secs(3));
        assert_eq!(clock.now().since(NOON), Duration::from_secs(3));
        clock.set(Timestamp(5));
        assert_eq!(clock.now(), Timestamp(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_riding_clock_moves_with_tokios_timers_on_every_thread() {
        let clock = Arc::new(SimClock::on_tokio(NOON));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(clock.now().since(NOON), Duration::from_secs(60));
        let elsewhere = Arc::clone(&clock);
        let seen = std::thread::spawn(move || elsewhere.now()).join().unwrap();
        assert_eq!(seen, clock.now());
        clock.set(NOON);
        assert_eq!(clock.now(), NOON);
        tokio::time::advance(Duration::from_millis(7)).await;
        assert_eq!(clock.now(), Timestamp(NOON.0 + 7));
    }
}

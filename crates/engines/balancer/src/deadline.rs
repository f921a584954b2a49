//! Deadlines: coarse timers, so that a connection's idle timeout costs a memory write per byte and not a timer.
//!
//! Invariants:
//! - A deadline never fires early by more than the sweep was late, and at most two ticks late.
//! - Setting one later, as every byte does, writes one number; the sweep finds out when it comes by.
//! - When the shared generation changes (routes, cuts, draining), the sweep wakes every connection of the worker once,
//!   so nobody has to watch for changes.
//! - An entry stands in few places of the wheel: memory follows the connections open at once, not those that ever were.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

use host::Clock;
use tokio::time::{Instant, MissedTickBehavior};

use crate::worker::Worker;

/// How coarse the timers are.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// How far ahead the wheel reaches, in ticks; who waits longer is looked at once a turn.
const WHEEL_TICKS: u32 = 1024;

/// The pool's idle connections are looked through once in so many ticks.
const POOL_SWEEP_TICKS: u32 = 10;

/// A tick that never comes.
const NEVER: u32 = u32::MAX;

/// A point in coarse time, in ticks since the worker began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u32);

impl Tick {
    /// The first tick that is certainly `duration` later.
    pub(crate) fn after(self, duration: Duration) -> Self {
        let ticks = duration.as_millis().div_ceil(TICK.as_millis());
        Self(self.0.saturating_add(u32::try_from(ticks).unwrap_or(NEVER)).saturating_add(1).min(NEVER - 1))
    }
}

/// One worker's timers; clones are the same timers.
#[derive(Clone)]
pub(crate) struct Deadlines {
    inner: Rc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    began: Instant,
    now: Cell<u32>,
    generation: Cell<u64>,
    /// A moment by the monotonic clock, and the same by the wall's, in microseconds since the epoch.
    anchor: Cell<(Instant, u64)>,
    table: RefCell<Table>,
}

struct Table {
    entries: Vec<Entry>,
    free: Vec<u32>,
    wheel: Vec<Vec<u32>>,
}

struct Entry {
    due: u32,
    /// The earliest tick whose bucket holds this entry; survives the entry's reuse.
    queued: u32,
    waker: Option<Waker>,
}

impl Deadlines {
    /// Timers that begin now.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let began = Instant::now();
        let wall_us = clock.now().as_millis().saturating_mul(1000);
        let wheel = (0..WHEEL_TICKS).map(|_| Vec::new()).collect();
        let table = Table { entries: Vec::new(), free: Vec::new(), wheel };
        Self {
            inner: Rc::new(Inner {
                clock,
                began,
                now: Cell::new(0),
                generation: Cell::new(0),
                anchor: Cell::new((began, wall_us)),
                table: RefCell::new(table),
            }),
        }
    }

    /// The coarse time.
    pub(crate) fn now(&self) -> Tick {
        Tick(self.inner.now.get())
    }

    /// The shared generation, as the last sweep saw it.
    pub(crate) fn generation(&self) -> u64 {
        self.inner.generation.get()
    }

    /// Microseconds since the epoch at `instant`, by the clock's last reading.
    pub(crate) fn wall_us(&self, instant: Instant) -> u64 {
        let (at, wall_us) = self.inner.anchor.get();
        let since = u64::try_from(instant.saturating_duration_since(at).as_micros()).unwrap_or(u64::MAX);
        wall_us.saturating_add(since)
    }

    /// A timer, not set.
    pub(crate) fn register(&self) -> Deadline {
        let mut table = self.inner.table.borrow_mut();
        let key = if let Some(key) = table.free.pop() {
            key
        } else {
            table.entries.push(Entry { due: NEVER, queued: NEVER, waker: None });
            u32::try_from(table.entries.len() - 1).unwrap_or(NEVER)
        };
        Deadline { deadlines: self.clone(), key }
    }

    /// Moves time on, wakes who is due, and everybody if `generation` is news.
    pub(crate) fn sweep(&self, generation: u64) {
        let instant = Instant::now();
        self.set_anchor(instant);
        let ticks = (instant - self.inner.began).as_millis() / TICK.as_millis();
        let now = u32::try_from(ticks).unwrap_or(NEVER - 1);
        let before = self.inner.now.replace(now);
        let news = self.inner.generation.replace(generation) != generation;
        let mut table = self.inner.table.borrow_mut();
        // After a long sleep every bucket is due once, not once a turn.
        for tick in now.saturating_sub(WHEEL_TICKS - 1).max(before + 1)..=now {
            table.turn(tick, now);
        }
        if news {
            table.entries.iter().filter_map(|entry| entry.waker.as_ref()).for_each(Waker::wake_by_ref);
        }
    }

    /// Follows the wall clock, whose readings are whole milliseconds, without jumping for less than it can tell.
    fn set_anchor(&self, instant: Instant) {
        let wall_us = self.inner.clock.now().as_millis().saturating_mul(1000);
        if wall_us.abs_diff(self.wall_us(instant)) > 2000 {
            self.inner.anchor.set((instant, wall_us));
        }
    }
}

impl Table {
    /// Empties the bucket of `tick`: wakes who is due, and moves on who was given more time.
    fn turn(&mut self, tick: u32, now: u32) {
        let bucket = (tick % WHEEL_TICKS) as usize;
        let mut keys = std::mem::take(&mut self.wheel[bucket]);
        let mut kept = 0;
        for index in 0..keys.len() {
            let key = keys[index];
            let entry = &mut self.entries[key as usize];
            // Queued elsewhere: earlier, and done with, or in this bucket for a later turn.
            if entry.queued > now {
                if entry.queued != NEVER && entry.queued % WHEEL_TICKS == tick % WHEEL_TICKS {
                    keys[kept] = key;
                    kept += 1;
                }
                continue;
            }
            entry.queued = NEVER;
            if entry.due <= now {
                if let Some(waker) = &entry.waker {
                    waker.wake_by_ref();
                }
            } else if entry.due != NEVER {
                let due = entry.due;
                self.queue(key, due, now);
            }
        }
        keys.truncate(kept);
        if self.wheel[bucket].is_empty() {
            // Keep the room, unless a crowd has passed through.
            if keys.capacity() > 4 * (kept + 64) {
                keys.shrink_to(kept + 64);
            }
            self.wheel[bucket] = keys;
        } else {
            self.wheel[bucket].extend_from_slice(&keys);
        }
    }

    fn queue(&mut self, key: u32, due: u32, now: u32) {
        let at = due.clamp(now + 1, now + WHEEL_TICKS - 1);
        self.entries[key as usize].queued = at;
        self.wheel[(at % WHEEL_TICKS) as usize].push(key);
    }
}

/// Sweeps until the worker ends: timers every tick, the pool every second.
pub(crate) async fn run(worker: Rc<Worker>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut pool_sweep = POOL_SWEEP_TICKS;
    loop {
        interval.tick().await;
        worker.deadlines.sweep(worker.shared.generation.load(Ordering::Acquire));
        pool_sweep -= 1;
        if pool_sweep == 0 {
            pool_sweep = POOL_SWEEP_TICKS;
            worker.pools.sweep(worker.deadlines.now());
        }
    }
}

/// One timer of one task; dropping it gives it back.
pub(crate) struct Deadline {
    deadlines: Deadlines,
    key: u32,
}

impl Deadline {
    /// Due once `after` has passed.
    pub(crate) fn set(&self, after: Duration) {
        self.set_at(self.deadlines.now().after(after));
    }

    /// Due at `tick`.
    pub(crate) fn set_at(&self, tick: Tick) {
        let mut table = self.deadlines.inner.table.borrow_mut();
        let entry = &mut table.entries[self.key as usize];
        entry.due = tick.0;
        if entry.queued > tick.0 {
            table.queue(self.key, tick.0, self.deadlines.inner.now.get());
        }
    }

    /// Whether it is due; if not, the task is woken when it is (or when the generation changes).
    pub(crate) fn is_due(&self, cx: &Context<'_>) -> bool {
        let mut table = self.deadlines.inner.table.borrow_mut();
        let entry = &mut table.entries[self.key as usize];
        match &mut entry.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
        entry.due <= self.deadlines.inner.now.get()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let mut table = self.deadlines.inner.table.borrow_mut();
        let entry = &mut table.entries[self.key as usize];
        entry.due = NEVER;
        // Dropped outside the borrow: a waker's last reference may drop a task, and with it another deadline.
        let waker = entry.waker.take();
        table.free.push(self.key);
        drop(table);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn deadlines() -> Deadlines {
        Deadlines::new(Arc::new(host::SystemClock))
    }

    fn counted() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        (count.clone(), Waker::from(count))
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_fires_within_two_ticks_after_its_time() {
        let deadlines = deadlines();
        let deadline = deadlines.register();
        let (count, waker) = counted();
        deadline.set(Duration::from_secs(200));
        for tick in 1..=2000 {
            tokio::time::advance(TICK).await;
            deadlines.sweep(0);
            assert!(!deadline.is_due(&Context::from_waker(&waker)), "tick {tick}");
        }
        for _ in 0..2 {
            tokio::time::advance(TICK).await;
            deadlines.sweep(0);
        }
        assert!(deadline.is_due(&Context::from_waker(&waker)));
        assert!(count.0.load(Ordering::Relaxed) > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_moved_on_does_not_wake_its_task() {
        let deadlines = deadlines();
        let deadline = deadlines.register();
        let (count, waker) = counted();
        for _ in 0..100 {
            deadline.set(Duration::from_secs(1));
            assert!(!deadline.is_due(&Context::from_waker(&waker)));
            tokio::time::advance(Duration::from_millis(500)).await;
            deadlines.sweep(0);
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_brought_forward_fires_at_its_new_time() {
        let deadlines = deadlines();
        let deadline = deadlines.register();
        let (count, waker) = counted();
        deadline.set(Duration::from_secs(60));
        assert!(!deadline.is_due(&Context::from_waker(&waker)));
        deadline.set(Duration::from_secs(1));
        for _ in 0..12 {
            tokio::time::advance(TICK).await;
            deadlines.sweep(0);
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_in_time_beyond_the_wheel_wakes_everybody_who_is_due() {
        let deadlines = deadlines();
        let (count, waker) = counted();
        let all: Vec<Deadline> = (1..=40).map(|_| deadlines.register()).collect();
        for (deadline, s) in all.iter().zip(1..) {
            deadline.set(Duration::from_secs(s * 10));
            assert!(!deadline.is_due(&Context::from_waker(&waker)));
        }
        tokio::time::advance(Duration::from_secs(3600)).await;
        deadlines.sweep(0);
        assert_eq!(count.0.load(Ordering::Relaxed), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_generation_wakes_everybody_once() {
        let deadlines = deadlines();
        let deadline = deadlines.register();
        let (count, waker) = counted();
        assert!(!deadline.is_due(&Context::from_waker(&waker)));
        deadlines.sweep(1);
        deadlines.sweep(1);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wheel_grows_with_the_connections_open_at_once_and_not_with_those_that_ever_were() {
        let deadlines = deadlines();
        let (_, waker) = counted();
        for round in 0..10_000 {
            let deadline = deadlines.register();
            deadline.set(Duration::from_secs(60));
            assert!(!deadline.is_due(&Context::from_waker(&waker)));
            drop(deadline);
            if round % 100 == 0 {
                tokio::time::advance(TICK).await;
                deadlines.sweep(0);
            }
        }
        let table = deadlines.inner.table.borrow();
        assert_eq!(table.entries.len(), 1);
        assert!(table.wheel.iter().map(Vec::len).sum::<usize>() <= 4);
    }

    #[tokio::test(start_paused = true)]
    async fn wall_time_has_microseconds_and_follows_the_clock() {
        let deadlines = deadlines();
        let before = deadlines.wall_us(Instant::now());
        tokio::time::advance(Duration::from_micros(1234)).await;
        assert_eq!(deadlines.wall_us(Instant::now()), before + 1234);
    }
}

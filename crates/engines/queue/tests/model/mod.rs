//! What a queue promised: for each message, whether it must, may or must not be there.
//!
//! Invariant: the model knows no more than a client could: what was acknowledged, and what nobody can know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use host::sim::{Rng, Seed, SimClock, SimDisk};
use host::{Clock, Disk, Timestamp};
use queue::{
    Counts, DeadLetter, Engine, EngineError, NewMessage, OpenError, Queue, QueueId, Receive, Received, Recovery,
    Settings, VisibilityError,
};

use crate::common::{NOON, NOW, options};

/// A queue whose messages move to `DEAD` after three receives.
const SOURCE: QueueId = QueueId(1);
const DEAD: QueueId = QueueId(2);
/// A queue with a short retention.
const SHORT: QueueId = QueueId(3);
/// The first of the queues that are deleted and made again under another id.
const FIRST_BRIEF: u64 = 10;

const MAX_RECEIVE_COUNT: u32 = 3;
const SHORT_RETENTION_S: u64 = 3_000;
/// Longer than any lease or delay.
const A_LONG_TIME: Duration = Duration::from_secs(60 * 60);

/// What is known of a message's existence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existence {
    /// Its send was acknowledged, no delete was asked for.
    Certain,
    /// A send or a delete has no answer.
    Possible,
    /// Its delete was acknowledged.
    Gone,
}

#[derive(Clone, Debug)]
struct Message {
    existence: Existence,
    /// Where it is; `None` when it may have moved.
    place: Option<(QueueId, u64)>,
    sent_at: Timestamp,
    due_at: Timestamp,
    /// End of its lease.
    leased_until: Timestamp,
    /// Whether it must be hidden until then; after a crash it merely may be.
    lease_holds: bool,
    /// The latest end that a lease ever had: a crash may forget that it was shortened.
    longest_lease: Timestamp,
    /// Bounds of the receives from all queues.
    received: (u32, u32),
}

impl Message {
    fn lease(&mut self, until: Timestamp) {
        self.leased_until = until;
        self.lease_holds = true;
        self.longest_lease = self.longest_lease.max(until);
    }
}

/// An engine, its disk, and what it promised.
pub(crate) struct Simulation {
    seed: Seed,
    rng: Rng,
    disk: SimDisk,
    clock: Arc<SimClock>,
    engine: Engine,
    opened: u64,
    messages: BTreeMap<u64, Message>,
    next_text: u64,
    /// Handles ever handed out: queue, sequence, message, handle.
    handles: Vec<(QueueId, u64, u64, String)>,
    brief: QueueId,
    /// A queue whose deletion has no answer may be there or not.
    dropped: BTreeSet<QueueId>,
}

fn text_of(received: &Received) -> u64 {
    u64::from_le_bytes(*received.payload.first_chunk().expect("a payload starts with its number"))
}

impl Simulation {
    pub(crate) fn new(seed: Seed) -> Self {
        let disk = SimDisk::new(seed);
        let clock = Arc::new(SimClock::frozen(NOON));
        let (engine, _) = Engine::open(options(Some(&disk), &clock, seed.0)).expect("an empty disk opens");
        let rng = Rng::new(Seed(seed.0 ^ 0x5eed));
        let (messages, handles, dropped) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        let brief = QueueId(FIRST_BRIEF);
        let mut simulation =
            Self { seed, rng, disk, clock, engine, opened: 0, messages, next_text: 1, handles, brief, dropped };
        simulation.push_settings();
        simulation
    }

    fn queues(&self) -> [QueueId; 4] {
        [SOURCE, DEAD, SHORT, self.brief]
    }

    fn settings(&self, id: QueueId) -> Settings {
        let dead_letter = DeadLetter { queue: DEAD, max_receive_count: MAX_RECEIVE_COUNT };
        match id {
            SOURCE => Settings { dead_letter: Some(dead_letter), ..Settings::default() },
            SHORT => Settings { retention_s: SHORT_RETENTION_S as u32, ..Settings::default() },
            _ => Settings::default(),
        }
    }

    /// What the caller does at start: it says which queues there are.
    fn push_settings(&mut self) {
        if self.engine.poisoned().borrow().is_some() {
            return;
        }
        for id in self.queues() {
            self.engine.queue(id, self.settings(id)).expect("the engine takes settings");
        }
    }

    fn queue(&self, id: QueueId) -> Queue {
        self.engine.queue(id, self.settings(id)).expect("the queue is there")
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// One random command, and what follows from it.
    pub(crate) async fn command(&mut self) {
        let queues = self.queues();
        let id = *self.rng.pick(&queues).expect("there are queues");
        if self.engine.poisoned().borrow().is_some() || self.disk.is_dead() {
            return self.recover_from_failure();
        }
        match self.rng.below(100) {
            0..=29 => self.send(id).await,
            30..=59 => self.receive(id).await,
            60..=74 => self.delete().await,
            75..=79 => self.change_visibility().await,
            80..=85 => self.advance(),
            86 => self.purge(id).await,
            87 => self.replace_brief_queue().await,
            88..=89 => self.move_messages().await,
            90..=91 => self.fail_soon(),
            92..=93 => self.crash(),
            94 => self.kill(),
            95 => self.restart().await,
            _ => self.check_counts(id),
        }
    }

    async fn send(&mut self, id: QueueId) {
        let count = self.rng.below(6) + 1;
        let size = [8, 100, 300, 3_000][self.rng.index(4)];
        let texts: Vec<u64> = (self.next_text..self.next_text + count).collect();
        self.next_text += count;
        let delay_s = if self.rng.one_in(4) { self.rng.below(60) as u32 } else { 0 };
        let new = texts.iter().map(|text| {
            let mut payload = text.to_le_bytes().to_vec();
            payload.resize(size, *text as u8);
            NewMessage { id: [*text as u8; 16], payload: Bytes::from(payload), delay_s: Some(delay_s) }
        });
        let sent_at = self.now();
        let message = Message {
            existence: Existence::Possible,
            place: None,
            sent_at,
            due_at: sent_at.plus(Duration::from_secs(delay_s.into())),
            leased_until: Timestamp(0),
            lease_holds: true,
            longest_lease: Timestamp(0),
            received: (0, 0),
        };
        match self.queue(id).send(new.collect()).await {
            Ok(sent) => {
                for (text, sent) in texts.into_iter().zip(sent) {
                    let place = Some((id, sent.sequence));
                    self.messages.insert(text, Message { existence: Existence::Certain, place, ..message.clone() });
                }
            }
            Err(EngineError::Poisoned(_)) => {
                self.messages.extend(texts.into_iter().map(|text| (text, message.clone())));
            }
            Err(error) => panic!("a send fails for no reason: {error}"),
        }
    }

    async fn receive(&mut self, id: QueueId) {
        let max = self.rng.below(10) as usize + 1;
        let timeout_s = [0, 1, 30, 600][self.rng.index(4)];
        let request = Receive { max, visibility_timeout_s: Some(timeout_s), ..NOW };
        match self.queue(id).receive(request).await {
            Ok(received) => {
                if self.disk.is_dead() {
                    self.may_have_been_lent(id, timeout_s);
                } else {
                    self.check_nothing_is_left_out(id, max, &received);
                }
                received.iter().for_each(|message| self.lent(id, message, timeout_s));
                if id == SOURCE {
                    self.may_have_been_buried();
                }
            }
            Err(EngineError::Poisoned(_)) => self.after_failure(),
            Err(error) => panic!("a receive fails for no reason: {error}"),
        }
    }

    /// A message came: it must be one that may come, here and now.
    fn lent(&mut self, id: QueueId, received: &Received, timeout_s: u32) {
        let now = self.now();
        let text = text_of(received);
        let message = self.messages.get_mut(&text).unwrap_or_else(|| panic!("message {text} was never sent"));
        assert_ne!(message.existence, Existence::Gone, "message {text} came back: {received:?}");
        let place = (id, received.sequence);
        assert!(message.place.is_none_or(|known| known == place), "message {text} is in {place:?}: {message:?}");
        assert!(message.due_at <= now, "message {text} came before its time: {message:?}");
        assert!(!message.lease_holds || message.leased_until <= now, "message {text} is leased: {message:?}");
        let (least, most) = message.received;
        let count = received.receive_count;
        assert!((least + 1..=most + 1).contains(&count), "message {text} was received {count} times: {message:?}");
        assert!(received.payload[8..].iter().all(|byte| *byte == text as u8), "message {text} has other bytes");
        message.existence = Existence::Certain;
        message.place = Some(place);
        message.lease(now.plus(Duration::from_secs(timeout_s.into())));
        message.received = (count, count);
        self.handles.push((id, received.sequence, text, received.handle.clone()));
    }

    /// The power failed during a receive: what was lent could not be read any more.
    fn may_have_been_lent(&mut self, id: QueueId, timeout_s: u32) {
        let until = self.now().plus(Duration::from_secs(timeout_s.into()));
        for message in self.messages.values_mut() {
            if message.place.is_none_or(|(queue, _)| queue == id) {
                message.received.1 += 1;
                message.longest_lease = message.longest_lease.max(until);
            }
        }
    }

    /// A receive that returned less than it could has returned all that is surely there and visible.
    fn check_nothing_is_left_out(&self, id: QueueId, max: usize, received: &[Received]) {
        if received.len() >= max {
            return;
        }
        let came: BTreeSet<u64> = received.iter().map(text_of).collect();
        let now = self.now();
        for (text, message) in &self.messages {
            let here = message.place.is_some_and(|(queue, _)| queue == id);
            let visible = message.due_at <= now && message.leased_until <= now;
            let expired = self.is_expired(message, id);
            let buried = id == SOURCE && message.received.1 >= MAX_RECEIVE_COUNT;
            let must = message.existence == Existence::Certain && here && visible && !expired && !buried;
            assert!(!must || came.contains(text), "message {text} did not come: {message:?}");
        }
    }

    fn is_expired(&self, message: &Message, id: QueueId) -> bool {
        id == SHORT && self.now().since(message.sent_at) >= Duration::from_secs(SHORT_RETENTION_S)
    }

    /// After a receive from the source, whatever was received often enough may be a dead letter.
    fn may_have_been_buried(&mut self) {
        for message in self.messages.values_mut() {
            let here = message.place.is_some_and(|(queue, _)| queue == SOURCE);
            if here && message.received.1 >= MAX_RECEIVE_COUNT {
                message.place = None;
            }
        }
    }

    async fn delete(&mut self) {
        let Some((id, _, _, handle)) = self.rng.pick(&self.handles).cloned() else { return };
        // As a client does: a few of one queue, old and new ones, and this one perhaps twice.
        let mut chosen: Vec<_> = self.handles.iter().filter(|other| other.0 == id).rev().take(5).cloned().collect();
        chosen.retain(|_| self.rng.one_in(2));
        chosen.extend(self.handles.iter().find(|other| other.3 == handle).cloned());
        if id != self.brief && id.0 >= FIRST_BRIEF {
            return;
        }
        let handles: Vec<&str> = chosen.iter().map(|(_, _, _, handle)| handle.as_str()).collect();
        let result = self.queue(id).delete(&handles).await;
        if let Ok(results) = &result {
            assert!(results.iter().all(Result::is_ok), "a handle is refused");
        }
        for (queue, sequence, text, _) in &chosen {
            let message = self.messages.get_mut(text).expect("its handle was handed out");
            match (message.existence, message.place, &result) {
                (Existence::Gone, ..) => {}
                (_, Some(place), _) if place != (*queue, *sequence) => {}
                (_, Some(_), Ok(_)) => message.existence = Existence::Gone,
                _ => message.existence = Existence::Possible,
            }
        }
        if result.is_err() {
            self.after_failure();
        }
    }

    async fn change_visibility(&mut self) {
        let Some((id, sequence, text, handle)) = self.rng.pick(&self.handles).cloned() else { return };
        if id != self.brief && id.0 >= FIRST_BRIEF {
            return;
        }
        let timeout_s = [0, 10, 1000][self.rng.index(3)];
        let newest = self.handles.iter().rev().find(|other| other.2 == text).is_some_and(|other| other.3 == handle);
        let now = self.now();
        let Ok(results) = self.queue(id).change_visibility(&[(handle, timeout_s)]).await else {
            return self.after_failure();
        };
        let message = self.messages.get_mut(&text).expect("its handle was handed out");
        let here = message.place == Some((id, sequence)) && message.existence == Existence::Certain;
        match results[0] {
            Ok(()) => {
                // A crash may have forgotten the newer one.
                assert!(newest || !message.lease_holds, "an old handle changed a newer lease of {text}");
                assert_ne!(message.existence, Existence::Gone, "message {text} came back");
                message.lease(now.plus(Duration::from_secs(timeout_s.into())));
            }
            Err(VisibilityError::NotInFlight | VisibilityError::Gone) => {
                let leased = here && newest && message.lease_holds && message.leased_until > now;
                let expired = id == SHORT && now.since(message.sent_at) >= Duration::from_secs(SHORT_RETENTION_S);
                assert!(!leased || expired, "message {text} is leased, but: {:?} {message:?}", results[0]);
            }
            Err(error) => panic!("a change of visibility fails for no reason: {error}"),
        }
    }

    fn advance(&mut self) {
        let seconds = [1, 10, 60, 700][self.rng.index(4)];
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// All that may be in a queue is gone, or may be.
    fn emptied(&mut self, id: QueueId, acknowledged: bool) {
        for message in self.messages.values_mut().filter(|message| message.existence != Existence::Gone) {
            match message.place {
                Some((queue, _)) if queue != id => {}
                Some(_) if acknowledged => message.existence = Existence::Gone,
                _ => message.existence = Existence::Possible,
            }
        }
    }

    async fn purge(&mut self, id: QueueId) {
        let result = self.queue(id).purge().await;
        self.emptied(id, result.is_ok());
        if result.is_err() {
            self.after_failure();
        }
    }

    async fn replace_brief_queue(&mut self) {
        let id = self.brief;
        let result = self.engine.delete_queue(id).await;
        self.emptied(id, result.is_ok());
        self.brief = QueueId(id.0 + 1);
        if result.is_err() {
            self.dropped.insert(id);
            return self.after_failure();
        }
        self.push_settings();
    }

    async fn move_messages(&mut self) {
        let (from, to) = if self.rng.one_in(2) { (DEAD, SOURCE) } else { (SOURCE, self.brief) };
        let max = self.rng.below(5) as usize + 1;
        let by_source = from == DEAD && self.rng.one_in(2);
        let route = |source| if by_source { source } else { Some(to) };
        let result = self.engine.move_messages(from, max, route).await;
        if result.as_ref().is_ok_and(|moved| *moved == 0) {
            return;
        }
        for message in self.messages.values_mut() {
            if message.place.is_none_or(|(queue, _)| queue == from) {
                message.place = None;
                // A moved message starts anew.
                message.received.0 = 0;
            }
        }
        if result.is_err() {
            self.after_failure();
        }
    }

    /// Some operation of the disk from now on fails, or the power does.
    fn fail_soon(&mut self) {
        let operations = self.rng.below(20);
        match self.rng.below(3) {
            0 => self.disk.with_faults(|faults| faults.fail_next_syncs = 1),
            1 => self.disk.with_faults(|faults| faults.fail_next_writes = 1),
            _ => self.disk.with_faults(|faults| faults.power_off_after = Some(operations)),
        }
    }

    /// The engine said that it failed: from now on it must not do anything.
    fn after_failure(&mut self) {
        assert!(self.engine.poisoned().borrow().is_some(), "a call failed and the engine says nothing is wrong");
    }

    fn recover_from_failure(&mut self) {
        // The operating system may go on, or not.
        if self.disk.is_dead() || self.rng.one_in(2) { self.crash() } else { self.kill() }
    }

    /// The power fails.
    fn crash(&mut self) {
        self.disk = self.disk.crash();
        self.reopen(true);
    }

    /// The process ends without a word; the operating system goes on.
    fn kill(&mut self) {
        self.disk.with_faults(|faults| *faults = host::sim::Faults::default());
        self.reopen(true);
    }

    async fn restart(&mut self) {
        let unclean = self.engine.close().await.is_err();
        if unclean {
            return self.recover_from_failure();
        }
        self.reopen(false);
    }

    fn open(&mut self) -> Result<Recovery, OpenError> {
        self.opened += 1;
        let seed = self.seed.0.wrapping_add(self.opened << 32);
        let (engine, recovery) = Engine::open(options(Some(&self.disk), &self.clock, seed))?;
        self.engine = engine;
        Ok(recovery)
    }

    fn reopen(&mut self, unclean: bool) {
        // Now and then the power fails while the engine recovers.
        if unclean && self.rng.one_in(4) {
            let operations = self.rng.below(12);
            self.disk.with_faults(|faults| faults.power_off_after = Some(operations));
        }
        loop {
            match self.open() {
                Ok(recovery) => {
                    assert!(recovery.is_whole(), "no bit was flipped, yet: {recovery:?}");
                    break;
                }
                Err(error) => {
                    assert!(self.disk.is_dead(), "the engine does not open: {error}");
                    self.disk = self.disk.crash();
                }
            }
        }
        if unclean {
            for message in self.messages.values_mut() {
                message.lease_holds = false;
                message.leased_until = message.longest_lease;
                message.received.0 = 0;
            }
        }
        self.push_settings();
    }

    fn check_counts(&self, id: QueueId) {
        let now = self.now();
        let Counts { visible, in_flight, delayed } = self.queue(id).counts().expect("the queue is there");
        let alive = self.messages.values().filter(|message| message.existence != Existence::Gone);
        let (mut least, mut most) = (0, 0);
        for message in alive {
            match message.place {
                Some((queue, _)) if queue != id => {}
                Some(_) if message.existence == Existence::Certain && !self.is_expired(message, id) => {
                    least += 1;
                    most += 1;
                }
                _ => most += 1,
            }
        }
        let count = visible + in_flight + delayed;
        assert!((least..=most).contains(&count), "{count} messages are in queue {id}, not {least} to {most}");
        if least == most && self.messages.values().all(|message| message.lease_holds) {
            let here = self.messages.values().filter(|message| message.place.is_some_and(|(queue, _)| queue == id));
            let here: Vec<_> = here
                .filter(|message| message.existence == Existence::Certain && !self.is_expired(message, id))
                .collect();
            let hidden = here.iter().filter(|message| message.leased_until > now).count();
            let early = here.iter().filter(|message| message.due_at > now).count();
            assert_eq!((in_flight, delayed), (hidden, early), "in queue {id}");
        }
    }

    /// Receives everything that is there, once.
    async fn drain(&mut self) -> BTreeMap<u64, u32> {
        let mut seen = BTreeMap::new();
        // Nobody's time is still to come, and nothing is buried while it is looked at.
        for id in self.queues() {
            let settings = Settings { dead_letter: None, ..self.settings(id) };
            self.engine.set_settings(id, settings).expect("the engine takes settings");
        }
        self.clock.advance(A_LONG_TIME);
        for id in self.queues() {
            let queue = self.engine.queue(id, Settings { dead_letter: None, ..self.settings(id) }).expect("a queue");
            loop {
                let request = Receive { max: 10, visibility_timeout_s: Some(43_200), ..NOW };
                let received = queue.receive(request).await.expect("the receive is accepted");
                // Damaged messages are left out of what a receive returns.
                if received.is_empty() && queue.counts().expect("the queue is there").visible == 0 {
                    break;
                }
                received.iter().for_each(|message| *seen.entry(text_of(message)).or_insert(0) += 1);
            }
        }
        seen
    }

    fn must_be_seen(&self) -> BTreeSet<u64> {
        let certain = self.messages.iter().filter(|(_, message)| message.existence == Existence::Certain);
        // What may have been in the short queue has expired by now.
        let kept = certain.filter(|(_, message)| message.place.is_none_or(|(queue, _)| queue != SHORT));
        kept.map(|(text, _)| *text).collect()
    }

    /// At the end, everything that must be there is there once, and nothing that must not be is.
    pub(crate) async fn finish(mut self) {
        if self.rng.one_in(2) && self.engine.poisoned().borrow().is_none() && !self.disk.is_dead() {
            self.restart().await;
        } else {
            self.crash();
        }
        self.disk.with_faults(|faults| *faults = host::sim::Faults::default());
        if self.disk.is_dead() || self.engine.poisoned().borrow().is_some() {
            self.crash();
            self.disk.with_faults(|faults| *faults = host::sim::Faults::default());
        }
        if self.disk.is_dead() {
            self.crash();
        }
        let seen = self.drain().await;
        for (text, times) in &seen {
            assert_eq!(*times, 1, "message {text} is in more than one place");
            let message = &self.messages[text];
            assert_ne!(message.existence, Existence::Gone, "message {text} came back: {message:?}");
        }
        for text in self.must_be_seen() {
            assert!(seen.contains_key(&text), "message {text} is lost: {:?}", self.messages[&text]);
        }
    }

    /// Bits flip at rest. What is lost by that, or comes back, must have been reported.
    pub(crate) async fn damage_and_finish(mut self) {
        self.crash();
        self.disk.with_faults(|faults| *faults = host::sim::Faults::default());
        if self.disk.is_dead() {
            self.disk = self.disk.crash();
        }
        self.flip_bits();
        let before = queue::verify(&self.disk, Path::new("queues"));
        let recovery = match self.open() {
            Ok(recovery) => recovery,
            // A version byte was hit, or the key.
            Err(OpenError::Newer { .. } | OpenError::DamagedKey { .. }) => return,
            Err(error) => panic!("the engine does not open: {error}"),
        };
        let report = before.expect("what opens can be verified");
        assert_eq!(report.recovery, recovery, "verifying tells what a start would find");
        self.push_settings();
        let seen = self.drain().await;
        let lost = self.engine.stats()[0].lost;
        if lost > 0 {
            assert!(!report.payloads_damaged.is_empty(), "damaged payloads were not found by verifying");
        }
        if !recovery.is_whole() || recovery.torn_tail.is_some() {
            return;
        }
        let missing = self.must_be_seen().into_iter().filter(|text| !seen.contains_key(text)).count() as u64;
        assert!(missing <= lost, "{missing} messages are missing, {lost} were reported");
        for (text, times) in seen {
            assert_eq!(times, 1, "message {text} is in more than one place");
            assert_ne!(self.messages[&text].existence, Existence::Gone, "message {text} came back");
        }
    }

    fn flip_bits(&mut self) {
        let dir = Path::new("queues");
        let files: Vec<String> = self.disk.list(dir).expect("a listing").into_iter().map(|(name, _)| name).collect();
        for _ in 0..self.rng.below(4) + 1 {
            let name = self.rng.pick(&files).expect("there are files").clone();
            let path = dir.join(name);
            let bits = self.disk.open(&path).and_then(|file| file.len()).expect("a length") * 8;
            if bits > 0 {
                let bit = self.rng.below(bits);
                self.disk.flip_bit(&path, bit).expect("the bit is there");
            }
        }
    }
}

//! The pure queue, with its clock in hand.

use super::*;
use crate::message::DeadLetter;
use dead_letter::as_dead_letter;

const NOON: Timestamp = Timestamp(1_000_000_000);
const DEAD: QueueId = QueueId(2);

fn after_s(seconds: u64) -> Timestamp {
    NOON.plus(Duration::from_secs(seconds))
}

fn entry(sequence: u64, delay_s: u16) -> Entry {
    Entry::new(sequence, NOON, delay_s, Body::default(), None)
}

/// A queue with so many messages.
fn queue(messages: usize) -> QueueState {
    let dead_letter = Some(DeadLetter { queue: DEAD, max_receive_count: 2 });
    let mut queue = QueueState::new(Settings { dead_letter, ..Settings::default() });
    let first = queue.reserve(messages);
    (first..).take(messages).for_each(|sequence| assert!(queue.insert(entry(sequence, 0), NOON)));
    queue
}

fn receive(queue: &mut QueueState, now: Timestamp, max: usize, timeout_s: u32) -> Vec<u64> {
    queue.advance(now);
    queue.receive(now, max, timeout_s, true).lent.iter().map(|lent| lent.sequence).collect()
}

#[test]
fn messages_are_lent_in_order_and_lapsed_ones_first() {
    let mut queue = queue(6);
    assert_eq!(receive(&mut queue, NOON, 2, 30), [1, 2]);
    assert_eq!(receive(&mut queue, NOON, 1, 10), [3]);
    assert_eq!(receive(&mut queue, after_s(9), 1, 30), [4]);
    assert_eq!(receive(&mut queue, after_s(10), 2, 30), [3, 5]);
    assert_eq!(queue.next_deadline(), Some(after_s(30)));
}

#[test]
fn a_message_due_behind_the_cursor_is_found() {
    let mut queue = queue(1);
    queue.reserve(2);
    queue.insert(entry(2, 5), NOON);
    queue.insert(entry(3, 0), NOON);
    assert_eq!(receive(&mut queue, NOON, 10, 30), [1, 3]);
    assert_eq!(queue.counts(), Counts { visible: 0, in_flight: 2, delayed: 1 });
    assert_eq!(receive(&mut queue, after_s(5), 10, 30), [2]);
}

#[test]
fn a_loan_that_is_given_back_leaves_no_trace() {
    let mut queue = queue(2);
    let taken = queue.receive(NOON, 1, 30, true);
    assert!(queue.give_back(&taken.lent[0]));
    assert_eq!(queue.history(1), None);
    assert_eq!(receive(&mut queue, after_s(1), 2, 30), [1, 2]);
    assert!(!queue.give_back(&taken.lent[0]), "the newer loan is somebody else's");
    assert_eq!(queue.counts().in_flight, 2);
}

#[test]
fn the_receive_that_would_be_one_too_many_holds_the_message_for_its_move() {
    let mut queue = queue(1);
    assert_eq!(receive(&mut queue, NOON, 1, 0), [1]);
    assert_eq!(receive(&mut queue, NOON, 1, 0), [1]);
    let taken = queue.receive(NOON, 1, 0, true);
    assert_eq!((taken.lent.len(), taken.dead), (0, vec![1]));
    let entry = queue.start_move(1, (DEAD, 7)).unwrap();
    let moved = as_dead_letter(&entry, 7, QueueId(1), after_s(1));
    let history = moved.history.as_deref().unwrap();
    assert_eq!((history.receive_count, history.received_here, history.source), (2, 0, Some(QueueId(1))));
    assert_eq!((moved.sent_at, moved.sequence), (NOON, 7));
    assert_eq!(queue.moving_to(1), Some((DEAD, 7)));
    assert!(queue.delete(1).is_none(), "its move is decided");
    queue.finish_move(1);
    assert_eq!(queue.counts(), Counts::default());
}

#[test]
fn a_held_message_can_be_deleted_and_then_does_not_move() {
    let mut queue = queue(2);
    let held = queue.hold_ready(2, |source| source.is_none());
    assert_eq!(held.len(), 2);
    assert!(queue.delete(1).is_some());
    assert!(queue.start_move(1, (DEAD, 1)).is_none());
    queue.release(2);
    assert_eq!(receive(&mut queue, NOON, 10, 30), [2]);
}

#[test]
fn a_purge_takes_what_the_journal_has_not_taken_yet() {
    let mut queue = queue(3);
    let pending = queue.reserve(1);
    let (up_to, gone) = queue.purge();
    assert_eq!((up_to, gone.len()), (pending, 3));
    assert!(!queue.insert(entry(pending, 0), NOON));
    let next = queue.reserve(1);
    assert!(queue.insert(entry(next, 0), NOON));
    assert_eq!(receive(&mut queue, NOON, 10, 30), [next]);
}

#[test]
fn only_what_is_too_old_expires_whatever_its_state() {
    let mut queue = queue(3);
    queue.settings.retention_s = 60;
    receive(&mut queue, NOON, 1, 600);
    let young = Entry::new(queue.reserve(1), after_s(30), 0, Body::default(), None);
    queue.insert(young, after_s(30));
    assert!(queue.expire(after_s(59)).is_empty());
    let gone: Vec<u64> = queue.expire(after_s(60)).into_iter().map(|(sequence, _)| sequence).collect();
    assert_eq!(gone, [1, 2, 3]);
    assert_eq!(queue.counts(), Counts { visible: 1, in_flight: 0, delayed: 0 });
}

#[test]
fn a_clock_set_back_does_not_hide_what_has_no_delay() {
    let mut queue = QueueState::new(Settings::default());
    let sequence = queue.reserve(1);
    queue.insert(entry(sequence, 0), Timestamp(NOON.0 - 5000));
    assert_eq!(queue.counts().visible, 1);
}

#[test]
fn what_is_recovered_stands_where_it_stood() {
    let mut table = Table::default();
    let leased = History { visible_at: after_s(10), receive_count: 1, received_here: 1, ..History::default() };
    let lapsed = History { visible_at: NOON, ..leased };
    let message = |sequence, delay_s, history| Entry::new(sequence, NOON, delay_s, Body::default(), history);
    for entry in [message(1, 0, Some(leased)), message(2, 0, Some(lapsed)), message(3, 5, None), message(4, 0, None)] {
        table.insert(entry);
    }
    let mut queue = QueueState::recovered(Settings::default(), 5, 0, table, NOON);
    assert_eq!(queue.counts(), Counts { visible: 2, in_flight: 1, delayed: 1 });
    assert_eq!(receive(&mut queue, NOON, 10, 30), [2, 4]);
    assert_eq!(receive(&mut queue, after_s(10), 10, 30), [1, 3]);
    assert_eq!(queue.reserve(1), 5);
}

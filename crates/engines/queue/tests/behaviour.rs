//! What a queue promises, one promise a test.

mod common;

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use common::{NOON, NOW, World, advance_s, handles, message, receive, receive_texts, send, small_limits, texts};
use queue::{Counts, DeadLetter, EngineError, HandleError, NewMessage, QueueId, Receive, Settings, VisibilityError};

fn wait(seconds: u64) -> Receive {
    Receive { wait: Duration::from_secs(seconds), ..NOW }
}

#[tokio::test(start_paused = true)]
async fn messages_come_out_as_they_went_in() {
    for new in [World::new, World::ephemeral] {
        let world = new();
        let queue = world.queue(1);
        let sent = queue.send(vec![message("a"), message("b")]).await.unwrap();
        assert_eq!(sent.iter().map(|sent| sent.sequence).collect::<Vec<_>>(), [1, 2]);
        let received = receive(&queue).await;
        assert_eq!(texts(&received), ["a", "b"]);
        let first = &received[0];
        assert_eq!((first.id, first.sent_at, first.first_received_at, first.receive_count), ([7; 16], NOON, NOON, 1));
        assert_eq!(first.dead_letter_source, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_back_when_its_visibility_timeout_ends() {
    let world = World::new();
    let queue = world.queue(1);
    send(&queue, &["a"]).await;
    assert_eq!(receive_texts(&queue).await, ["a"]);
    assert!(receive_texts(&queue).await.is_empty());
    advance_s(29).await;
    assert!(receive_texts(&queue).await.is_empty());
    advance_s(1).await;
    let again = receive(&queue).await;
    assert_eq!(again[0].receive_count, 2);
    assert_eq!(again[0].first_received_at, NOON);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_message_never_comes_back() {
    let world = World::new();
    let queue = world.queue(1);
    send(&queue, &["a", "b"]).await;
    let received = receive(&queue).await;
    assert_eq!(queue.delete(&handles(&received[..1])).await.unwrap(), [Ok(())]);
    advance_s(60).await;
    assert_eq!(receive_texts(&queue).await, ["b"]);
    let world = world.crash();
    let queue = world.queue(1);
    advance_s(60).await;
    assert_eq!(receive_texts(&queue).await, ["b"]);
}

#[tokio::test(start_paused = true)]
async fn an_old_handle_deletes_and_deleting_twice_is_no_error() {
    let world = World::new();
    let queue = world.queue(1);
    send(&queue, &["a"]).await;
    let old = handles(&receive(&queue).await);
    advance_s(30).await;
    assert_eq!(receive(&queue).await.len(), 1);
    assert_eq!(queue.delete(&old).await.unwrap(), [Ok(())]);
    assert_eq!(queue.delete(&old).await.unwrap(), [Ok(())]);
    assert_eq!(queue.counts().unwrap(), Counts::default());
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_another_queue_or_garbage_is_refused() {
    let world = World::new();
    let (queue, other) = (world.queue(1), world.queue(2));
    send(&queue, &["a"]).await;
    let foreign = handles(&receive(&queue).await)[0].clone();
    let results = other.delete(&[foreign.as_str(), "garbage", ""]).await.unwrap();
    assert_eq!(results, [Err(HandleError::Malformed); 3]);
    let results = other.change_visibility(&[(foreign.as_str(), 5)]).await.unwrap();
    assert_eq!(results, [Err(VisibilityError::Malformed)]);
    assert_eq!(queue.counts().unwrap().in_flight, 1);
}

#[tokio::test(start_paused = true)]
async fn visibility_can_be_changed_but_not_beyond_twelve_hours() {
    let world = World::new();
    let queue = world.queue(1);
    send(&queue, &["a"]).await;
    let handle = handles(&receive(&queue).await)[0].clone();
    let change = async |timeout_s| queue.change_visibility(&[(&handle, timeout_s)]).await.unwrap()[0];
    assert_eq!(change(100).await, Ok(()));
    advance_s(99).await;
    assert!(receive_texts(&queue).await.is_empty());
    assert_eq!(change(43_200).await, Err(VisibilityError::TooLong));
    assert_eq!(change(43_200 - 99).await, Ok(()));
    assert_eq!(change(0).await, Ok(()));
    assert_eq!(change(10).await, Err(VisibilityError::NotInFlight));
    let newer = handles(&receive(&queue).await);
    assert_eq!(change(10).await, Err(VisibilityError::NotInFlight), "the old handle must not touch the new lease");
    queue.delete(&newer).await.unwrap();
    assert_eq!(change(10).await, Err(VisibilityError::Gone));
}

#[tokio::test(start_paused = true)]
async fn a_receive_with_visibility_zero_leaves_the_message_visible() {
    let world = World::new();
    let queue = world.queue(1);
    send(&queue, &["a", "b"]).await;
    for count in 1..=3 {
        let received = queue.receive(Receive { visibility_timeout_s: Some(0), ..NOW }).await.unwrap();
        assert_eq!(texts(&received), ["a", "b"]);
        assert_eq!(received[0].receive_count, count);
    }
    assert_eq!(queue.counts().unwrap(), Counts { visible: 2, in_flight: 0, delayed: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_is_not_seen_before_its_time() {
    let world = World::new();
    let queue = world.queue_with(1, Settings { delay_s: 10, ..Settings::default() });
    send(&queue, &["queue's delay"]).await;
    let own = |text, delay_s| NewMessage { delay_s: Some(delay_s), ..message(text) };
    queue.send(vec![own("none", 0), own("five", 5)]).await.unwrap();
    assert_eq!(queue.counts().unwrap(), Counts { visible: 1, in_flight: 0, delayed: 2 });
    assert_eq!(receive_texts(&queue).await, ["none"]);
    advance_s(5).await;
    assert_eq!(receive_texts(&queue).await, ["five"]);
    let world = world.crash();
    let queue = world.queue(1);
    advance_s(4).await;
    assert_eq!(queue.counts().unwrap().delayed, 1);
    advance_s(1).await;
    assert!(receive_texts(&queue).await.contains(&"queue's delay".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_its_retention_goes() {
    let world = World::new();
    let settings = Settings { retention_s: 60, ..Settings::default() };
    let queue = world.queue_with(1, settings.clone());
    send(&queue, &["old", "old too"]).await;
    queue.receive(Receive { max: 1, ..NOW }).await.unwrap();
    advance_s(30).await;
    send(&queue, &["young"]).await;
    advance_s(30).await;
    assert_eq!(receive_texts(&queue).await, ["young"]);
    assert_eq!(queue.stats().unwrap().expired, 2);
    world.engine.set_settings(QueueId(1), Settings { retention_s: 20, ..settings }).unwrap();
    assert_eq!(queue.counts().unwrap(), Counts::default());
}

#[tokio::test(start_paused = true)]
async fn purge_takes_everything_in_whatever_state() {
    let world = World::new();
    let queue = world.queue(1);
    send(&queue, &["a", "b"]).await;
    queue.receive(Receive { max: 1, ..NOW }).await.unwrap();
    queue.send(vec![NewMessage { delay_s: Some(5), ..message("c") }]).await.unwrap();
    queue.purge().await.unwrap();
    assert_eq!(queue.counts().unwrap(), Counts::default());
    send(&queue, &["after"]).await;
    let world = world.crash();
    advance_s(60).await;
    assert_eq!(receive_texts(&world.queue(1)).await, ["after"]);
}

fn dead_letter_settings() -> Settings {
    let dead_letter = Some(DeadLetter { queue: QueueId(2), max_receive_count: 2 });
    Settings { dead_letter, visibility_timeout_s: 0, ..Settings::default() }
}

#[tokio::test(start_paused = true)]
async fn a_message_received_too_often_moves_to_the_dead_letter_queue() {
    for new in [World::new, World::ephemeral] {
        let world = new();
        let (queue, dead) = (world.queue_with(1, dead_letter_settings()), world.queue(2));
        send(&queue, &["poison"]).await;
        assert_eq!(receive(&queue).await.len(), 1);
        assert_eq!(receive(&queue).await.len(), 1);
        advance_s(1).await;
        assert!(receive(&queue).await.is_empty());
        assert_eq!(queue.counts().unwrap(), Counts::default());
        assert_eq!(dead.oldest_age().unwrap(), Duration::ZERO, "its age starts anew");
        let moved = receive(&dead).await;
        assert_eq!(texts(&moved), ["poison"]);
        assert_eq!(moved[0].id, [7; 16]);
        assert_eq!(moved[0].sent_at, NOON);
        assert_eq!(moved[0].receive_count, 3);
        assert_eq!(moved[0].dead_letter_source, Some(QueueId(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_survives_a_crash_in_its_new_queue_only() {
    let world = World::new();
    let queue = world.queue_with(1, dead_letter_settings());
    world.queue(2);
    send(&queue, &["poison"]).await;
    for _ in 0..3 {
        receive(&queue).await;
    }
    let world = world.crash();
    assert_eq!(world.recovery.messages, 1);
    let moved = receive(&world.queue(2)).await;
    assert_eq!(texts(&moved), ["poison"]);
    assert_eq!(moved[0].dead_letter_source, Some(QueueId(1)));
}

#[tokio::test(start_paused = true)]
async fn without_its_dead_letter_queue_a_message_stays() {
    let world = World::new();
    let queue = world.queue_with(1, dead_letter_settings());
    send(&queue, &["poison"]).await;
    for _ in 0..5 {
        assert_eq!(receive(&queue).await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn only_so_many_messages_are_in_flight() {
    let world = World::new();
    let queue = world.queue_with(1, Settings { in_flight_max: 3, ..Settings::default() });
    send(&queue, &["a", "b", "c", "d"]).await;
    let received = receive(&queue).await;
    assert_eq!(received.len(), 3);
    assert_eq!(queue.receive(NOW).await.unwrap_err(), EngineError::OverInFlight);
    assert!(queue.receive(wait(1)).await.unwrap().is_empty());
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.receive(wait(20)).await }
    });
    advance_s(1).await;
    queue.delete(&handles(&received)).await.unwrap();
    assert_eq!(texts(&waiting.await.unwrap().unwrap()), ["d"]);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receive_wakes_for_whatever_makes_a_message_visible() {
    let world = World::new();
    let queue = world.queue(1);
    let waiting = |seconds| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.receive(wait(seconds)).await.unwrap() })
    };
    let start = tokio::time::Instant::now();
    // A send.
    let receiver = waiting(20);
    advance_s(1).await;
    send(&queue, &["sent"]).await;
    let received = receiver.await.unwrap();
    assert_eq!(texts(&received), ["sent"]);
    // The end of a lease.
    let receiver = waiting(60);
    assert_eq!(texts(&receiver.await.unwrap()), ["sent"]);
    let waited = start.elapsed().as_millis();
    assert!((31_000..31_010).contains(&waited), "{waited} ms");
    // A visibility timeout of 0.
    advance_s(30).await;
    let received = receive(&queue).await;
    let receiver = waiting(20);
    advance_s(1).await;
    queue.change_visibility(&[(&received[0].handle, 0)]).await.unwrap();
    let received = receiver.await.unwrap();
    assert_eq!(texts(&received), ["sent"]);
    queue.delete(&handles(&received)).await.unwrap();
    // The end of a delay.
    let receiver = waiting(20);
    advance_s(1).await;
    let start = tokio::time::Instant::now();
    queue.send(vec![NewMessage { delay_s: Some(5), ..message("delayed") }]).await.unwrap();
    assert_eq!(texts(&receiver.await.unwrap()), ["delayed"]);
    let waited = start.elapsed().as_millis();
    assert!((5_000..5_010).contains(&waited), "{waited} ms");
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_served_in_order() {
    let world = World::new();
    let queue = world.queue(1);
    let mut receivers = Vec::new();
    for _ in 0..3 {
        let queue = queue.clone();
        let request = Receive { max: 1, ..wait(20) };
        receivers.push(tokio::spawn(async move { queue.receive(request).await.unwrap() }));
        advance_s(0).await;
    }
    send(&queue, &["first", "second"]).await;
    send(&queue, &["third"]).await;
    for (receiver, text) in receivers.into_iter().zip(["first", "second", "third"]) {
        assert_eq!(texts(&receiver.await.unwrap()), [text]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receive_that_goes_away_takes_nothing_and_passes_its_turn_on() {
    let world = World::new();
    let queue = world.queue(1);
    let mut gone = Box::pin(queue.receive(wait(20)));
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut gone).await.is_err());
    let other = tokio::spawn({
        let queue = queue.clone();
        async move { queue.receive(wait(20)).await.unwrap() }
    });
    advance_s(1).await;
    // The first is woken for this, and goes away without looking.
    send(&queue, &["a"]).await;
    drop(gone);
    let received = other.await.unwrap();
    assert_eq!(texts(&received), ["a"]);
    assert_eq!(received[0].receive_count, 1);
}

#[tokio::test(start_paused = true)]
async fn draining_ends_all_waits() {
    let world = World::new();
    let queue = world.queue(1);
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.receive(wait(20)).await }
    });
    advance_s(1).await;
    let start = tokio::time::Instant::now();
    world.engine.drain();
    assert!(waiting.await.unwrap().unwrap().is_empty());
    assert!(queue.receive(wait(20)).await.unwrap().is_empty());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_queue_is_gone_and_those_who_wait_for_it_wake() {
    let world = World::new();
    let queue = world.queue(1);
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.receive(wait(20)).await }
    });
    advance_s(1).await;
    let start = tokio::time::Instant::now();
    world.engine.delete_queue(QueueId(1)).await.unwrap();
    assert!(waiting.await.unwrap().unwrap().is_empty());
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(queue.send(vec![message("a")]).await.unwrap_err(), EngineError::NoSuchQueue);
    assert_eq!(queue.receive(NOW).await.unwrap_err(), EngineError::NoSuchQueue);
    assert!(world.crash().engine.queue_ids().is_empty());
}

#[tokio::test(start_paused = true)]
async fn queues_that_the_caller_does_not_know_any_more_go() {
    let world = World::new();
    for id in 1..=3 {
        send(&world.queue(id), &["a"]).await;
    }
    let world = world.crash();
    world.engine.retain(&HashSet::from([QueueId(2)])).await.unwrap();
    let world = world.crash();
    assert_eq!(world.engine.queue_ids(), [QueueId(2)]);
    assert_eq!(receive_texts(&world.queue(2)).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn leases_and_counts_survive_a_clean_restart() {
    let world = World::new();
    let queue = world.queue(1);
    send(&queue, &["a", "b"]).await;
    let received = queue.receive(Receive { max: 1, ..NOW }).await.unwrap();
    let world = world.restart().await;
    assert!(world.recovery.is_whole());
    let queue = world.queue(1);
    assert_eq!(queue.counts().unwrap(), Counts { visible: 1, in_flight: 1, delayed: 0 });
    assert_eq!(queue.change_visibility(&[(&received[0].handle, 10)]).await.unwrap(), [Ok(())]);
    advance_s(10).await;
    let again = receive(&queue).await;
    let counts: Vec<u32> = again.iter().map(|message| message.receive_count).collect();
    assert_eq!((texts(&again), counts), (vec!["a".to_owned(), "b".to_owned()], vec![2, 1]));
    assert_eq!(queue.delete(&handles(&received)).await.unwrap(), [Ok(())], "handles outlive a restart");
    assert_eq!(queue.counts().unwrap().in_flight, 1);
}

#[tokio::test(start_paused = true)]
async fn moved_messages_become_new_messages_of_the_other_queue() {
    for new in [World::new, World::ephemeral] {
        let world = new();
        let (queue, dead) = (world.queue_with(1, dead_letter_settings()), world.queue(2));
        send(&dead, &["its own"]).await;
        send(&queue, &["poison", "more poison"]).await;
        for _ in 0..3 {
            receive(&queue).await;
        }
        advance_s(7).await;
        let moved = world.engine.move_messages(QueueId(2), 10, |source| source).await.unwrap();
        assert_eq!(moved, 2, "a message without a source has no way back");
        assert_eq!(dead.counts().unwrap(), Counts { visible: 1, in_flight: 0, delayed: 0 });
        let received = receive(&queue).await;
        assert_eq!(texts(&received), ["poison", "more poison"]);
        assert_ne!(received[0].id, [7; 16]);
        assert_eq!(received[0].sent_at.since(NOON), Duration::from_secs(7));
        assert_eq!((received[0].receive_count, received[0].dead_letter_source), (1, None));
        let moved = world.engine.move_messages(QueueId(2), 10, |_| Some(QueueId(1))).await.unwrap();
        assert_eq!(moved, 1);
        if world.disk.is_some() {
            let world = world.crash();
            assert_eq!(world.recovery.messages, 3);
            assert_eq!(world.queue(1).counts().unwrap().visible, 3);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_read_back_from_the_journal() {
    let world = World::new();
    let queue = world.queue(1);
    // Far more than the memory for payloads takes.
    let large = "x".repeat(1000);
    for batch in 0..30 {
        let texts: Vec<String> = (0..10).map(|place| format!("{batch}-{place}-{large}")).collect();
        send(&queue, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    for batch in 0..30 {
        let received = receive(&queue).await;
        assert_eq!(received.len(), 10);
        for (place, message) in received.iter().enumerate() {
            assert_eq!(message.payload, Bytes::from(format!("{batch}-{place}-{large}")));
        }
    }
    let stats = world.engine.stats()[0];
    assert!(stats.cache_misses > 200, "{stats:?}");
    assert!(stats.files > 2 && stats.checkpoints > 0, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn journal_files_are_given_up_when_their_messages_are_gone_or_few() {
    let world = World::new();
    let (keeper, queue) = (world.queue(1), world.queue(2));
    send(&keeper, &["for ever"]).await;
    let large = "x".repeat(1000);
    for _ in 0..300 {
        send(&queue, &[large.as_str(); 10]).await;
        queue.delete(&handles(&receive(&queue).await)).await.unwrap();
    }
    let stats = world.engine.stats()[0];
    assert!(stats.journal_bytes > 40 * 64 * 1024);
    assert!(stats.relocated > 0, "{stats:?}");
    assert!(stats.files < 12, "{stats:?}");
    let world = world.crash();
    assert!(world.recovery.is_whole());
    assert_eq!(world.recovery.messages, 1);
    assert_eq!(receive_texts(&world.queue(1)).await, ["for ever"]);
}

#[tokio::test(start_paused = true)]
async fn many_restarts_leave_few_files() {
    for clean in [true, false] {
        let mut world = World::new();
        send(&world.queue(1), &["kept"]).await;
        for round in 0..60 {
            let queue = world.queue(2);
            send(&queue, &["short-lived", "kept too"]).await;
            let received = queue.receive(Receive { max: 1, ..NOW }).await.unwrap();
            queue.delete(&handles(&received)).await.unwrap();
            assert!(world.engine.stats()[0].files < 32, "{} files in round {round}", world.engine.stats()[0].files);
            world = if clean { world.restart().await } else { world.crash() };
            assert!(world.recovery.is_whole());
        }
        assert_eq!(world.recovery.messages, 61);
        assert_eq!(receive_texts(&world.queue(1)).await, ["kept"]);
    }
}

#[tokio::test(start_paused = true)]
async fn sends_are_refused_on_a_nearly_full_disk_while_the_rest_goes_on() {
    let world = World::new();
    let queue = world.queue_with(1, Settings { visibility_timeout_s: 0, ..Settings::default() });
    send(&queue, &["a"]).await;
    let disk = world.disk.clone().unwrap();
    let capacity = disk.with_faults(|faults| std::mem::replace(&mut faults.capacity, 4_000_000));
    let large = message(&"x".repeat(20_000));
    let mut refused = None;
    for _ in 0..1000 {
        advance_s(1).await;
        refused = queue.send(vec![large.clone()]).await.err();
        if refused.is_some() {
            break;
        }
    }
    assert_eq!(refused, Some(EngineError::DiskFull));
    assert!(world.engine.stats()[0].disk_full);
    let received = queue.receive(Receive { max: 1, ..NOW }).await.unwrap();
    assert_eq!(texts(&received), ["a"]);
    queue.delete(&handles(&received)).await.unwrap();
    disk.with_faults(|faults| faults.capacity = capacity);
    advance_s(2).await;
    send(&queue, &["room again"]).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_sync_nothing_is_acknowledged_until_a_restart() {
    let world = World::new();
    let queue = world.queue(1);
    send(&queue, &["durable"]).await;
    world.disk.as_ref().unwrap().with_faults(|faults| faults.fail_next_syncs = 1);
    let error = queue.send(vec![message("unknown")]).await.unwrap_err();
    assert!(matches!(error, EngineError::Poisoned(_)));
    assert!(matches!(queue.send(vec![message("b")]).await, Err(EngineError::Poisoned(_))));
    assert!(matches!(queue.receive(NOW).await, Err(EngineError::Poisoned(_))));
    assert!(world.engine.poisoned().borrow().is_some());
    let world = world.crash();
    send(&world.queue(1), &["works again"]).await;
    let texts = receive_texts(&world.queue(1)).await;
    assert_eq!(
        (texts.first().map(String::as_str), texts.last().map(String::as_str)),
        (Some("durable"), Some("works again"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_too_large_for_a_journal_file_is_refused() {
    let world = World::new();
    let max = small_limits().file_bytes as usize / 2;
    let error = world.queue(1).send(vec![message(&"x".repeat(max))]).await.unwrap_err();
    assert!(matches!(error, EngineError::TooLarge { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_age_of_the_oldest_leaves_out_poison_pills() {
    let world = World::new();
    let queue = world.queue(1);
    send(&queue, &["pill"]).await;
    for _ in 0..3 {
        queue.receive(Receive { visibility_timeout_s: Some(0), ..NOW }).await.unwrap();
    }
    advance_s(10).await;
    send(&queue, &["good"]).await;
    advance_s(5).await;
    assert_eq!(queue.oldest_age().unwrap(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn the_counters_count() {
    let world = World::new();
    let queue = world.queue(1);
    send(&queue, &["abc", "de"]).await;
    let received = receive(&queue).await;
    receive(&queue).await;
    queue.delete(&handles(&received)).await.unwrap();
    let stats = queue.stats().unwrap();
    assert_eq!((stats.sent, stats.sent_bytes, stats.received, stats.deleted, stats.empty_receives), (2, 5, 2, 2, 1));
    let shard = world.engine.stats()[0];
    assert_eq!(shard.commits, shard.sync_histogram.iter().sum::<u64>());
    assert_eq!(shard.commits, 2);
}

//! Queue policies: who gets in.

use std::io::Write;
use std::sync::{Arc, Mutex};

use api::sqs::*;
use api::{Call, Principal};

use crate::platform::*;

fn statement(effect: &str, principal: &str, action: &str, rest: &str) -> String {
    format!(
        "{{\"Sid\":\"s\",\"Effect\":\"{effect}\",\"Principal\":{principal},\"Action\":\"{action}\",\
         \"Resource\":\"arn:aws:sqs:us-east-1:{ACCOUNT}:orders\"{rest}}}"
    )
}

fn policy(statements: &[String]) -> String {
    format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{}]}}", statements.join(","))
}

async fn guarded<'p>(platform: &'p Platform, statements: &[String]) -> Queue<'p> {
    platform.queue_with("orders", &[("Policy", &policy(statements))]).await
}

fn denied(queue: &Queue<'_>) -> (String, u16, String) {
    ("AccessDenied".to_owned(), 403, format!("Access to the resource {} is denied.", queue.url))
}

async fn grant(queue: &Queue<'_>, label: &str, accounts: &[&str], actions: &[&str]) -> Result<(), wire::ApiError> {
    let input = AddPermissionInput {
        queue_url: queue.url.clone(),
        label: label.to_owned(),
        aws_account_ids: strings(accounts),
        actions: strings(actions),
    };
    queue.sqs().add_permission(&queue.call, input).await
}

async fn revoke(queue: &Queue<'_>, label: &str) -> Result<(), wire::ApiError> {
    let input = RemovePermissionInput { queue_url: queue.url.clone(), label: label.to_owned() };
    queue.sqs().remove_permission(&queue.call, input).await
}

#[tokio::test(start_paused = true)]
async fn another_account_gets_in_by_permission_only() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let stranger = queue.as_seen_by(call_of(OTHER_ACCOUNT));
    assert_eq!(refusal(stranger.try_send(stranger.message("a")).await), denied(&queue));
    grant(&queue, "partner", &[OTHER_ACCOUNT], &["SendMessage"]).await.unwrap();
    stranger.send("a").await;
    stranger.send_entries(vec![entry("1", "b")]).await.unwrap();
    assert_eq!(refusal(stranger.try_receive(stranger.receiving()).await), denied(&queue));
    let third = queue.as_seen_by(call_of("333333333333"));
    assert_eq!(refusal(third.try_send(third.message("c")).await), denied(&queue));
    revoke(&queue, "partner").await.unwrap();
    assert_eq!(refusal(stranger.try_send(stranger.message("d")).await), denied(&queue));
    assert_eq!(queue.bodies().await, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn each_grantable_action_can_be_granted_and_nothing_else_comes_with_it() {
    let platform = Platform::without_cooldowns().await;
    let queue = platform.queue_with("orders", &[("VisibilityTimeout", "0")]).await;
    queue.send("a").await;
    let handle = queue.take().await;
    let stranger = queue.as_seen_by(call_of(OTHER_ACCOUNT));
    let get_url = || {
        let queue_owner_aws_account_id = Some(ACCOUNT.to_owned());
        GetQueueUrlInput { queue_name: "orders".to_owned(), queue_owner_aws_account_id }
    };
    let sources = || ListDeadLetterSourceQueuesInput { queue_url: queue.url.clone(), ..Default::default() };
    let attempt = async |action: &str| match action {
        "SendMessage" => stranger.try_send(stranger.message("b")).await.map(drop),
        "ReceiveMessage" => stranger.try_receive(stranger.receiving()).await.map(drop),
        "ChangeMessageVisibility" => match stranger.change_visibility(&handle, 0).await {
            // Let in, though the message is not in flight.
            Err(error) if error.code == "MessageNotInflight" => Ok(()),
            result => result,
        },
        "DeleteMessage" => stranger.delete(&handle).await,
        "GetQueueAttributes" => stranger.attributes(&["All"]).await.map(drop),
        "GetQueueUrl" => platform.sqs.get_queue_url(&stranger.call, get_url()).await.map(drop),
        "ListDeadLetterSourceQueues" => {
            platform.sqs.list_dead_letter_source_queues(&stranger.call, sources()).await.map(drop)
        }
        _ => stranger.purge().await,
    };
    let actions = [
        "SendMessage",
        "ReceiveMessage",
        "ChangeMessageVisibility",
        "DeleteMessage",
        "GetQueueAttributes",
        "GetQueueUrl",
        "ListDeadLetterSourceQueues",
        "PurgeQueue",
    ];
    for granted in actions {
        grant(&queue, "g", &[OTHER_ACCOUNT], &[granted]).await.unwrap();
        for action in actions {
            let result = attempt(action).await;
            assert_eq!(result.is_ok(), action == granted, "{action} under {granted}: {result:?}");
        }
        revoke(&queue, "g").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_the_owner_cannot_be_opened_to_others() {
    let platform = Platform::new().await;
    let queue = guarded(&platform, &[statement("Allow", "\"*\"", "sqs:*", "")]).await;
    let stranger = queue.as_seen_by(call_of(OTHER_ACCOUNT));
    stranger.send("a").await;
    let (sqs, caller, queue_url) = (&platform.sqs, &stranger.call, queue.url.clone());
    let tag = TagQueueInput { queue_url: queue_url.clone(), tags: map(&[("a", "b")]) };
    let untag = UntagQueueInput { queue_url: queue_url.clone(), tag_keys: strings(&["a"]) };
    for refused in [
        refusal(stranger.set(&[("DelaySeconds", "1")]).await),
        refusal(stranger.delete_queue().await),
        refusal(grant(&stranger, "l", &[OTHER_ACCOUNT], &["*"]).await),
        refusal(revoke(&stranger, "s").await),
        refusal(sqs.tag_queue(caller, tag).await),
        refusal(sqs.untag_queue(caller, untag).await),
        refusal(sqs.list_queue_tags(caller, ListQueueTagsInput { queue_url }).await),
    ] {
        assert_eq!(refused, denied(&queue));
    }
}

#[tokio::test(start_paused = true)]
async fn the_owner_needs_no_policy_and_obeys_an_explicit_deny() {
    let platform = Platform::new().await;
    let allow_others = statement("Allow", &format!("{{\"AWS\":\"{OTHER_ACCOUNT}\"}}"), "sqs:SendMessage", "");
    let deny_all = statement("Deny", "\"*\"", "sqs:ReceiveMessage", "");
    let queue = guarded(&platform, &[allow_others, deny_all]).await;
    queue.send("a").await;
    assert_eq!(refusal(queue.try_receive(queue.receiving()).await), denied(&queue));
    queue.set(&[("Policy", "")]).await.unwrap();
    assert_eq!(queue.bodies().await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn the_anonymous_get_in_where_a_policy_opens_to_everyone() {
    let platform = Platform::new().await;
    let queue = guarded(&platform, &[statement("Allow", "\"*\"", "sqs:SendMessage", "")]).await;
    let nobody = queue.as_seen_by(anonymous());
    nobody.send("a").await;
    assert_eq!(refusal(nobody.try_receive(nobody.receiving()).await), denied(&queue));
    let input = ReceiveMessageInput { attribute_names: strings(&["SenderId"]), ..queue.receiving() };
    let message = queue.try_receive(input).await.unwrap().remove(0);
    assert_eq!(message.attributes["SenderId"], "192.0.2.7");
    let closed = platform.queue("closed").await.as_seen_by(anonymous());
    assert_eq!(code(closed.try_send(closed.message("a")).await), "AccessDenied");
}

#[tokio::test(start_paused = true)]
async fn the_anonymous_need_a_token_for_what_no_policy_opens() {
    let platform = Platform::new().await;
    let queue = guarded(&platform, &[statement("Allow", "\"*\"", "sqs:*", "")]).await;
    let nobody = queue.as_seen_by(anonymous());
    let message = "Request is missing Authentication Token".to_owned();
    let expected = ("MissingAuthenticationToken".to_owned(), 403, message);
    assert_eq!(refusal(nobody.delete_queue().await), expected);
    assert_eq!(refusal(platform.create(&anonymous(), "x", &[]).await), expected);
    assert_eq!(refusal(platform.sqs.list_queues(&anonymous(), ListQueuesInput::default()).await), expected);
    let start = StartMessageMoveTaskInput { source_arn: queue.arn(), ..StartMessageMoveTaskInput::default() };
    assert_eq!(refusal(platform.sqs.start_message_move_task(&anonymous(), start).await), expected);
}

#[tokio::test(start_paused = true)]
async fn conditions_look_at_the_request() {
    let platform = Platform::new().await;
    let from = |cidr: &str| format!(",\"Condition\":{{\"IpAddress\":{{\"aws:SourceIp\":\"{cidr}\"}}}}");
    let queue = guarded(&platform, &[statement("Allow", "\"*\"", "sqs:SendMessage", &from("192.0.2.0/24"))]).await;
    let stranger = queue.as_seen_by(call_of(OTHER_ACCOUNT));
    stranger.send("near").await;
    let far = queue.as_seen_by(Call { source_ip: "198.51.100.1".parse().unwrap(), ..call_of(OTHER_ACCOUNT) });
    assert_eq!(refusal(far.try_send(far.message("far")).await), denied(&queue));
    let tls = ",\"Condition\":{\"Bool\":{\"aws:SecureTransport\":\"false\"}}";
    let insecure = [statement("Deny", "\"*\"", "sqs:*", tls)];
    queue.set(&[("Policy", &policy(&insecure))]).await.unwrap();
    assert_eq!(refusal(queue.try_send(queue.message("plain")).await), denied(&queue));
    let endpoint = api::Endpoint { scheme: "https", authority: "localhost:4566".into() };
    queue.as_seen_by(Call { endpoint, ..call() }).send("tls").await;
}

#[tokio::test(start_paused = true)]
async fn a_date_condition_follows_the_clock() {
    let platform = Platform::new().await;
    let until = ",\"Condition\":{\"DateLessThan\":{\"aws:CurrentTime\":\"2023-11-14T22:14:00Z\"}}";
    let queue = guarded(&platform, &[statement("Allow", "\"*\"", "sqs:SendMessage", until)]).await;
    let stranger = queue.as_seen_by(call_of(OTHER_ACCOUNT));
    // The platform starts at 22:13:20 of that day.
    stranger.send("in time").await;
    platform.advance_s(40).await;
    assert_eq!(refusal(stranger.try_send(stranger.message("late")).await), denied(&queue));
}

#[tokio::test(start_paused = true)]
async fn a_service_gets_in_by_its_name() {
    let platform = Platform::new().await;
    let sns = "{\"Service\":\"sns.amazonaws.com\"}";
    let queue = guarded(&platform, &[statement("Allow", sns, "sqs:SendMessage", "")]).await;
    let service = |name: &str| {
        let mut call = call();
        call.identity.principal = Principal::Service { name: name.into() };
        queue.as_seen_by(call)
    };
    service("sns.amazonaws.com").send("a").await;
    let other = service("s3.amazonaws.com");
    assert_eq!(code(other.try_send(other.message("a")).await), "AccessDenied");
    let caller = service("sns.amazonaws.com").call;
    assert_eq!(code(platform.sqs.list_queues(&caller, ListQueuesInput::default()).await), "AccessDenied");
}

#[tokio::test(start_paused = true)]
async fn a_label_is_used_once_and_must_be_there_to_be_removed() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    grant(&queue, "partner", &[OTHER_ACCOUNT], &["SendMessage"]).await.unwrap();
    let again = sentence(grant(&queue, "partner", &[OTHER_ACCOUNT], &["ReceiveMessage"]).await);
    assert_eq!(again, "Value partner for parameter Label is invalid. Reason: Already exists.");
    let unknown = sentence(revoke(&queue, "nobody").await);
    assert_eq!(unknown, "Value nobody for parameter Label is invalid. Reason: can't find label.");
    let text = queue.attribute("Policy").await.unwrap();
    assert!(text.contains("\"SQS:SendMessage\"") && text.contains("arn:aws:iam::222222222222:root"), "{text}");
    revoke(&queue, "partner").await.unwrap();
    assert_eq!(queue.attribute("Policy").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_none_is_refused() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    for bad in ["x", "{}", "{\"Statement\":[{\"Effect\":\"Maybe\"}]}"] {
        let refused = refusal(queue.set(&[("Policy", bad)]).await);
        let expected = ("InvalidAttributeValue".to_owned(), 400, "Invalid value for the parameter Policy.".to_owned());
        assert_eq!(refused, expected);
    }
}

/// What the service logs while the guard lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_denied_call_says_in_the_log_which_statement_decided() {
    let platform = Platform::new().await;
    let deny = statement("Deny", "\"*\"", "sqs:SendMessage", "").replace("\"s\"", "\"NobodySends\"");
    let queue = guarded(&platform, &[statement("Allow", "\"*\"", "sqs:*", ""), deny]).await;
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || written.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    assert_eq!(refusal(queue.try_send(queue.message("a")).await), denied(&queue));
    drop(guard);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for part in ["denied", "NobodySends", "sqs:SendMessage", &queue.arn(), &queue.call.request_id.0] {
        assert!(log.contains(part), "{part} in {log}");
    }
}

//! RabbitMQ as the peer: a node of its own, a quorum queue, publisher confirms, acknowledged deliveries.
//!
//! One node: its quorum queue syncs its log before it confirms, which is what Millpond promises too.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};

use crate::process::Usage;
use crate::queue::{BACKLOG_MAX, Outcome, Shared};

const PORT: u16 = 25_673;
const PUBLISHERS: usize = 64;
const CONSUMERS: usize = 4;
const QUEUE: &str = "bench";

struct Node {
    script: Child,
    directory: tempfile::TempDir,
}

impl Node {
    async fn start(data: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir_in(data)?;
        let home = std::fs::canonicalize(directory.path())?;
        std::fs::write(home.join("rabbitmq.conf"), format!("listeners.tcp.1 = 127.0.0.1:{PORT}\n"))?;
        let script = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server")
            .envs([
                ("RABBITMQ_NODENAME", "millpond-bench@localhost"),
                ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1"),
                ("RABBITMQ_DIST_PORT", "25674"),
                ("RABBITMQ_CONF_ENV_FILE", "/dev/null"),
                ("RABBITMQ_ENABLED_PLUGINS_FILE", "/dev/null"),
                ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}"),
            ])
            .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq.conf"))
            .env("RABBITMQ_NODE_PORT", PORT.to_string())
            .env("RABBITMQ_MNESIA_BASE", home.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", home.join("log"))
            .env("RABBITMQ_PID_FILE", home.join("pid"))
            .env("HOME", &home)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start rabbitmq-server")?;
        Ok(Self { script, directory })
    }

    /// The Erlang machine: the script's own process on some set-ups, a child of it on others.
    fn pid(&self) -> anyhow::Result<u32> {
        let text = std::fs::read_to_string(self.directory.path().join("pid"))?;
        Ok(text.trim().parse()?)
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        let started = Instant::now();
        let address = format!("amqp://guest:guest@127.0.0.1:{PORT}/%2f");
        loop {
            match Connection::connect(&address, ConnectionProperties::default()).await {
                Ok(connection) => return Ok(connection),
                Err(error) if started.elapsed() > Duration::from_secs(60) => bail!("it does not answer: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(250)).await,
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Ok(pid) = self.pid() {
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// Publishes and consumes one by one, 64 publishes at a time.
pub(crate) async fn measure(data: &Path, measured: Duration) -> anyhow::Result<Outcome> {
    let node = Node::start(data).await?;
    let connection = node.connect().await?;
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    connection.create_channel().await?.queue_declare(QUEUE.into(), durable, quorum).await?;
    let shared = Shared::new();
    for _ in 0..PUBLISHERS {
        tokio::spawn(publish(connection.create_channel().await?, shared.clone()));
    }
    for _ in 0..CONSUMERS {
        tokio::spawn(consume(connection.create_channel().await?, shared.clone()));
    }
    let outcome = shared.measure(measured, || Ok(Usage::of(node.pid()?)?.cpu_us)).await?;
    let _ = connection.close(200, "done".into()).await;
    Ok(outcome)
}

async fn publish(channel: lapin::Channel, shared: Arc<Shared>) -> anyhow::Result<()> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let persistent = BasicProperties::default().with_delivery_mode(2);
    while !shared.stopped() {
        if shared.backlog() > BACKLOG_MAX {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        let started = Instant::now();
        let options = BasicPublishOptions::default();
        channel.basic_publish("".into(), QUEUE.into(), options, &[b'x'; 256], persistent.clone()).await?.await?;
        if shared.measuring.load(Ordering::Relaxed) {
            shared.sends.lock().await.record(started.elapsed());
        }
        shared.sent.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn consume(channel: lapin::Channel, shared: Arc<Shared>) -> anyhow::Result<()> {
    channel.basic_qos(200, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut deliveries = channel.basic_consume(QUEUE.into(), "".into(), options, FieldTable::default()).await?;
    while let Some(delivery) = deliveries.next().await {
        delivery?.ack(BasicAckOptions::default()).await?;
        shared.deleted.fetch_add(1, Ordering::Relaxed);
        if shared.stopped() {
            break;
        }
    }
    Ok(())
}

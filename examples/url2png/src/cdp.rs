//! The Chrome DevTools Protocol over a pipe: JSON messages, each ended by a NUL byte.
//!
//! Invariants: an answer belongs to the command that was sent last (commands go one at a time); events that arrive
//! meanwhile are kept in order for [`Pipe::event`]. A message is never larger than [`MESSAGE_BYTES_MAX`].
//! Nothing here waits for ever on its own account: the caller puts a bound on the whole.

use std::collections::VecDeque;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

/// A picture of 1280 by 800 pixels that doesn't compress at all takes 5.5 MB in Base64.
const MESSAGE_BYTES_MAX: u64 = 16 << 20;
/// A page can provoke events (requests, dialogs) faster than they are read, so what piles up is bounded.
const EVENTS_MAX: usize = 10_000;

/// Something that happened in the page, such as `Page.lifecycleEvent`.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) method: String,
    pub(crate) params: Value,
}

/// Both directions of the conversation with one Chromium.
#[derive(Debug)]
pub(crate) struct Pipe {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    sent: u64,
    broken: bool,
    events: VecDeque<Event>,
}

#[derive(Deserialize)]
struct Message {
    id: Option<u64>,
    #[serde(default)]
    result: Value,
    error: Option<Refusal>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Pipe {
    pub(crate) fn new(to: ChildStdin, from: ChildStdout) -> Self {
        Self { to, from: BufReader::new(from), session: None, sent: 0, broken: false, events: VecDeque::new() }
    }

    /// From now on commands go to this session (a page) and no longer to the browser.
    pub(crate) fn attach(&mut self, session: String) {
        self.session = Some(session);
    }

    /// Whether Chromium ended of its own accord.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.send(method, params).await?;
        loop {
            let message = self.read().await.with_context(|| format!("no answer to {method}"))?;
            if message.id != Some(self.sent) {
                self.keep(message)?;
            } else if let Some(refusal) = message.error {
                bail!("Chromium refuses {method}: {}", refusal.message);
            } else {
                return Ok(message.result);
            }
        }
    }

    /// Sends a command whose answer nobody waits for.
    pub(crate) async fn send(&mut self, method: &str, params: Value) -> anyhow::Result<()> {
        self.sent += 1;
        let mut command = json!({ "id": self.sent, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        let written = self.to.write_all(&bytes).await;
        self.broken |= written.is_err();
        written.context("Chromium hears no commands")
    }

    /// The next event, in the order in which they happened.
    pub(crate) async fn event(&mut self) -> anyhow::Result<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let message = self.read().await?;
            self.keep(message)?;
        }
    }

    fn keep(&mut self, message: Message) -> anyhow::Result<()> {
        ensure!(self.events.len() < EVENTS_MAX, "the page is too busy");
        // A message without a method answers a command that nobody waits for.
        self.events.extend(message.method.map(|method| Event { method, params: message.params }));
        Ok(())
    }

    async fn read(&mut self) -> anyhow::Result<Message> {
        let mut bytes = Vec::new();
        (&mut self.from).take(MESSAGE_BYTES_MAX).read_until(0, &mut bytes).await.context("cannot hear Chromium")?;
        if bytes.pop() != Some(0) {
            ensure!((bytes.len() as u64) + 1 < MESSAGE_BYTES_MAX, "Chromium said more than {MESSAGE_BYTES_MAX} bytes");
            self.broken = true;
            bail!("Chromium ended");
        }
        serde_json::from_slice(&bytes).context("cannot understand Chromium")
    }
}

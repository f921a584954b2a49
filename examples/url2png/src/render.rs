//! Rendering: a page becomes a PNG of 1280 by 800 pixels, or an error that says why not.
//!
//! Invariants: one Chromium and one fresh profile a picture, so that no page sees another's cookies or cache, and no
//! crash reaches the next job. When `render` returns, or is dropped, Chromium and all its children are gone. A picture
//! is of the page that was asked for: Chromium also takes pictures of its own error pages, so the status of the answer
//! counts, and it must be below 400.
//!
//! Chromium is driven over a pipe (`--remote-debugging-pipe`) and not with `--screenshot`, for two reasons. The pipe
//! tells the status of the very answer that is in the picture; to ask for it beforehand would fetch every page twice.
//! And Chromium ends by itself when the pipe breaks, so that a worker killed with SIGKILL leaves no browser behind.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use url::Url;

use crate::cdp::Pipe;

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 800;
/// Profiles are called `url2png.PID.RANDOM`, so that the next start knows which ones no living worker uses.
const PROFILE_PREFIX: &str = "url2png.";

/// How often, and how far apart, the removal of a profile is tried; the next start of a worker removes what is left.
const REMOVALS_MAX: u32 = 20;
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);

/// Takes pictures, one Chromium each.
#[derive(Debug)]
pub(crate) struct Renderer {
    chromium: PathBuf,
    profiles: PathBuf,
    timeout: Duration,
}

impl Renderer {
    /// `chromium` is a path or a name in PATH; profiles live under `profiles`, where those of dead workers are removed.
    pub(crate) fn new(chromium: PathBuf, profiles: PathBuf, timeout: Duration) -> anyhow::Result<Self> {
        fs::create_dir_all(&profiles).with_context(|| format!("cannot create {}", profiles.display()))?;
        remove_abandoned(&profiles).with_context(|| format!("cannot tidy {}", profiles.display()))?;
        Ok(Self { chromium, profiles, timeout })
    }

    /// A picture of the page, as a PNG.
    pub(crate) async fn render(&self, url: &Url) -> anyhow::Result<Vec<u8>> {
        let mut browser = Browser::start(&self.chromium, &self.profiles)?;
        let picture = tokio::time::timeout(self.timeout, browser.picture_of(url)).await;
        let picture = picture.unwrap_or_else(|_| bail!("not ready after {} s", self.timeout.as_secs_f32()));
        let last_words = browser.end().await;
        picture.with_context(|| format!("cannot take a picture of {url}{last_words}"))
    }
}

/// A running Chromium. Its process group dies with this value.
#[derive(Debug)]
struct Browser {
    process: Child,
    pipe: Pipe,
    // Dropped last, after `Drop` below has killed whoever still writes to it.
    profile: TempDir,
}

impl Browser {
    fn start(chromium: &Path, profiles: &Path) -> anyhow::Result<Self> {
        let prefix = format!("{PROFILE_PREFIX}{}.", std::process::id());
        let profile = tempfile::Builder::new().prefix(&prefix).tempdir_in(profiles).context("cannot make a profile")?;
        let errors = File::create(profile.path().join("stderr")).context("cannot make a profile")?;

        // Chromium speaks on descriptors 3 and 4, and only a shell can put a child's pipes there without unsafe code.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#]).arg(chromium);
        command.args(flags(profile.path())).arg("about:blank");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        command.process_group(0).kill_on_drop(true);
        // The page's browser needs no credentials, and what Chromium keeps under HOME goes with the profile.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"AWS_")) {
            command.env_remove(name);
        }
        command.env("HOME", profile.path()).env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME");

        let mut process = command.spawn().context("cannot start /bin/sh")?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let pipe = Pipe::new(stdin.context("no pipe to Chromium")?, stdout.context("no pipe from Chromium")?);
        Ok(Self { process, pipe, profile })
    }

    async fn picture_of(&mut self, url: &Url) -> anyhow::Result<Vec<u8>> {
        let frame = self.open_page().await?;
        let answer = self.pipe.call("Page.navigate", json!({ "url": url.as_str() })).await?;
        if let Some(reason) = answer["errorText"].as_str() {
            bail!("{reason}");
        }
        self.wait_until_loaded(&frame).await?;
        let picture = self.pipe.call("Page.captureScreenshot", json!({ "format": "png" })).await?;
        let picture = picture["data"].as_str().context("Chromium took no picture")?;
        base64::engine::general_purpose::STANDARD.decode(picture).context("Chromium's picture is no Base64")
    }

    /// Opens an empty page of the right size.
    async fn open_page(&mut self) -> anyhow::Result<Frame> {
        let target = self.pipe.call("Target.createTarget", json!({ "url": "about:blank" })).await?;
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.pipe.call("Target.attachToTarget", target).await?;
        self.pipe.attach(text(&attached["sessionId"])?);
        let size = json!({ "width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": false });
        for (method, params) in [
            ("Page.enable", json!({})),
            ("Page.setLifecycleEventsEnabled", json!({ "enabled": true })),
            ("Network.enable", json!({})),
            ("Emulation.setDeviceMetricsOverride", size),
        ] {
            self.pipe.call(method, params).await?;
        }
        let tree = self.pipe.call("Page.getFrameTree", json!({})).await?;
        let frame = &tree["frameTree"]["frame"];
        Ok(Frame { id: text(&frame["id"])?, blank: text(&frame["loaderId"])? })
    }

    /// Waits for the end of loading and checks that what was loaded is the page and no error.
    async fn wait_until_loaded(&mut self, frame: &Frame) -> anyhow::Result<()> {
        // The status of the document loaded last, with its loader: pages may redirect by script, too.
        let mut answered = None;
        loop {
            let event = self.pipe.event().await?;
            let params = event.params;
            match event.method.as_str() {
                "Network.responseReceived" if params["type"] == "Document" && params["frameId"] == frame.id => {
                    answered = Some((params["loaderId"].clone(), params["response"]["status"].as_u64()));
                }
                "Page.lifecycleEvent" if params["name"] == "load" && frame.has_loaded(&params) => {
                    let status = answered.filter(|(loader, _)| *loader == params["loaderId"]);
                    let status = status.and_then(|(_, status)| status).context("the page redirects to a dead end")?;
                    ensure!(status < 400, "the page's server answered {status}");
                    return Ok(());
                }
                // A dialog stops the page until somebody answers it.
                "Page.javascriptDialogOpening" => {
                    self.pipe.send("Page.handleJavaScriptDialog", json!({ "accept": false })).await?;
                }
                "Inspector.targetCrashed" => bail!("the page crashed"),
                _ => {}
            }
        }
    }

    /// Ends Chromium, and returns what it said at last, in brackets, when it had ended by itself before.
    async fn end(&mut self) -> String {
        self.kill();
        self.process.wait().await.ok();
        let errors = fs::read(self.profile.path().join("stderr")).unwrap_or_default();
        // Chromium's children die a moment after it, and may write to the profile until then.
        for _ in 0..REMOVALS_MAX {
            match fs::remove_dir_all(self.profile.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => tokio::time::sleep(REMOVAL_PAUSE).await,
                _ => break,
            }
        }
        match String::from_utf8_lossy(&errors).lines().last() {
            Some(line) if self.pipe.is_broken() => format!(" (Chromium: {line})"),
            _ => String::new(),
        }
    }

    fn kill(&self) {
        // `id` is None once the process was waited for: then its number may be another's.
        let leader = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(leader) = leader {
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The page's main frame, and the loader of the empty page that it starts with.
struct Frame {
    id: String,
    blank: String,
}

impl Frame {
    fn has_loaded(&self, event: &Value) -> bool {
        event["frameId"] == self.id && event["loaderId"] != self.blank
    }
}

fn flags(profile: &Path) -> Vec<String> {
    let mut flags: Vec<String> = [
        "--headless",
        "--remote-debugging-pipe",
        "--disable-gpu",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-breakpad",
        "--no-first-run",
        "--hide-scrollbars",
    ]
    .map(String::from)
    .into();
    flags.push(format!("--window-size={WIDTH},{HEIGHT}"));
    flags.push(format!("--user-data-dir={}", profile.display()));
    if geteuid().is_root() {
        // Chromium refuses to start as root otherwise. Run workers as a user of their own.
        flags.push("--no-sandbox".into());
    }
    flags
}

fn text(value: &Value) -> anyhow::Result<String> {
    Ok(value.as_str().context("Chromium left something out")?.to_owned())
}

/// Removes the profiles of workers that are no more: those that were killed had no time to.
fn remove_abandoned(profiles: &Path) -> io::Result<()> {
    for entry in fs::read_dir(profiles)? {
        let entry = entry?;
        let name = entry.file_name();
        let worker = name.to_str().and_then(|name| name.strip_prefix(PROFILE_PREFIX)?.split('.').next());
        let Some(worker) = worker.filter(|pid| pid.parse::<u32>().is_ok()) else { continue };
        // A link by that name is nobody's profile: only directories are ours, and links aren't followed.
        if entry.file_type()?.is_dir() && !Path::new("/proc").join(worker).exists() {
            // Another worker that starts now may be faster; and what belongs to another user is theirs to remove.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! The whole story, with real workers and a real Chromium: pages become pictures, whatever happens to a worker.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, thread};

use aws_sdk_sqs::types::QueueAttributeName;
use support::pages::{Pages, nobody_listens};
use support::picture::Picture;
use support::{Millpond, REGION, eventually, fetch};
use tempfile::TempDir;

const BUCKET: &str = "pictures";

/// A Millpond with the queue, its dead-letter queue and the website bucket, as the README has them made.
struct Scene {
    millpond: Millpond,
    queue_url: String,
    dead_letter_url: String,
    profiles: TempDir,
}

impl Scene {
    async fn set(receives_max: u32) -> Self {
        let millpond = Millpond::start();
        let dead_letter_url = millpond.queue("url2png-failed", &[]).await;
        let arn = millpond
            .sqs
            .get_queue_attributes()
            .queue_url(&dead_letter_url)
            .attribute_names(QueueAttributeName::QueueArn);
        let arn = arn.send().await.unwrap().attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
        let redrive = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"{receives_max}"}}"#);
        let queue_url = millpond.queue("url2png", &[(QueueAttributeName::RedrivePolicy, redrive)]).await;
        millpond.website_bucket(BUCKET).await;
        Self { millpond, queue_url, dead_letter_url, profiles: tempfile::tempdir().unwrap() }
    }

    /// The program, with nothing in its environment that a user of AWS would not have there.
    fn url2png(&self, command: &str) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_url2png"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"AWS_")) {
            program.env_remove(name);
        }
        program
            .arg(command)
            .env("AWS_ENDPOINT_URL", &self.millpond.endpoint)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            // Were a setting forgotten here, the SDK would look for it on the network.
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("URL2PNG_QUEUE", "url2png")
            .env("URL2PNG_BUCKET", BUCKET);
        program
    }

    fn submit(&self, url: &str) -> String {
        let output = self.url2png("submit").arg(url).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn worker(&self, arguments: &[&str]) -> Worker {
        let mut command = self.url2png("work");
        command.args(["--wait", "1", "--retry-after", "0"]).args(arguments);
        command.env("URL2PNG_WORK_DIR", self.profiles.path());
        Worker::start(command)
    }

    /// Fetches a picture anonymously over the website's host.
    fn picture(&self, picture_url: &str) -> Picture {
        let authority = self.millpond.authority();
        let port = authority.rsplit(':').next().unwrap();
        let key = picture_url.rsplit('/').next().unwrap();
        let host = format!("{BUCKET}.s3-website-{REGION}.localhost:{port}");
        let (status, content_type, png) = fetch(&format!("http://{authority}/{key}"), Some(&host));
        assert_eq!((status, content_type.as_str()), (200, "image/png"), "{}", String::from_utf8_lossy(&png));
        Picture::decode(&png)
    }
}

/// A worker process, and what it has said so far.
struct Worker {
    process: Child,
    log: Arc<Mutex<String>>,
}

impl Worker {
    fn start(mut command: Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let (stderr, log) = (process.stderr.take().unwrap(), Arc::new(Mutex::new(String::new())));
        let shared = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // Shown by the test runner when the test fails.
                println!("{line}");
                *shared.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self { process, log }
    }

    fn said(&self, words: &str) -> bool {
        self.log.lock().unwrap().contains(words)
    }

    fn wait_until_said(&self, words: &str) {
        eventually(words, || self.said(words).then_some(()));
    }

    fn browsers(&self) -> usize {
        let profile = format!("url2png.{}.", self.process.id());
        let lines = fs::read_dir("/proc").unwrap().filter_map(|e| fs::read(e.ok()?.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(&profile)).count()
    }

    fn terminate(&self) {
        let id = rustix::process::Pid::from_raw(self.process.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    }

    fn wait_for_end(&mut self) -> ExitStatus {
        eventually("the worker ends", || self.process.try_wait().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[tokio::test]
async fn three_pages_become_pictures_though_a_worker_is_killed_in_the_middle_of_one() {
    let (scene, pages) = (Scene::set(5).await, Pages::serve());
    let mut workers = [(); 2].map(|()| scene.worker(&["--visibility-timeout", "5"]));

    let stalled = scene.submit(&pages.url("/stall"));
    eventually("a worker visits the page that stalls", || (pages.stalled() == 1).then_some(()));
    let pictures = ["/color/3366cc", "/color/009933"].map(|path| scene.submit(&pages.url(path)));

    // Longer than the visibility timeout: only renewal keeps the second worker from visiting it, too.
    thread::sleep(Duration::from_secs(7));
    assert_eq!(pages.stalled(), 1, "the job was taken from a worker that is alive");

    let victim = workers.iter().position(|worker| worker.said("/stall")).unwrap();
    assert!(workers[victim].browsers() > 0, "it renders");
    pages.stop_stalling();
    workers[victim].process.kill().unwrap();
    workers[victim].process.wait().unwrap();
    eventually("the browser of the killed worker ends", || (workers[victim].browsers() == 0).then_some(()));

    scene.millpond.wait_for_counts(&scene.queue_url, [0, 0, 0]).await;
    scene.picture(&stalled).assert_shows("cc0000");
    scene.picture(&pictures[0]).assert_shows("3366cc");
    scene.picture(&pictures[1]).assert_shows("009933");
    assert!(workers[1 - victim].said("receive_count=2"), "the survivor finished what the victim had begun");
    assert_eq!(scene.millpond.counts(&scene.dead_letter_url).await, [0, 0, 0]);
}

#[tokio::test]
async fn what_cannot_be_rendered_ends_in_the_dead_letter_queue_and_the_worker_goes_on() {
    let (scene, pages) = (Scene::set(2).await, Pages::serve());
    let mut worker = scene.worker(&[]);
    scene.submit(&pages.url("/missing"));
    scene.submit(&nobody_listens());
    for body in ["this is no job", r#"{"url":"file:///etc/passwd","key":"0123456789abcdef0123456789abcdef.png"}"#] {
        scene.millpond.sqs.send_message().queue_url(&scene.queue_url).message_body(body).send().await.unwrap();
    }

    scene.millpond.wait_for_counts(&scene.dead_letter_url, [4, 0, 0]).await;
    let picture = scene.submit(&pages.url("/color/996600"));
    scene.millpond.wait_for_counts(&scene.queue_url, [0, 0, 0]).await;
    scene.picture(&picture).assert_shows("996600");

    assert!(worker.process.try_wait().unwrap().is_none(), "the worker is alive");
    for reason in ["answered 404", "ERR_CONNECTION_REFUSED", "the message is no job", "only http and https"] {
        assert!(worker.said(reason), "{reason}");
    }
    let objects = scene.millpond.s3.list_objects_v2().bucket(BUCKET).send().await.unwrap();
    assert_eq!(objects.key_count, Some(1), "only the good page has a picture");
}

#[tokio::test]
async fn sigterm_ends_an_idle_worker_with_code_0() {
    let scene = Scene::set(5).await;
    let mut worker = scene.worker(&[]);
    worker.wait_until_said("waiting for jobs");
    worker.terminate();
    assert_eq!(worker.wait_for_end().code(), Some(0));
}

#[tokio::test]
async fn sigterm_lets_the_job_in_hand_finish() {
    let (scene, pages) = (Scene::set(5).await, Pages::serve());
    let mut worker = scene.worker(&["--grace", "60"]);
    let picture = scene.submit(&pages.url("/slow/663399"));
    eventually("the worker visits the page", || (pages.slow_visits() == 1).then_some(()));
    worker.terminate();
    assert_eq!(worker.wait_for_end().code(), Some(0));
    assert_eq!(scene.millpond.counts(&scene.queue_url).await, [0, 0, 0]);
    scene.picture(&picture).assert_shows("663399");
}

#[tokio::test]
async fn sigterm_gives_back_a_job_that_does_not_finish_in_time() {
    let (scene, pages) = (Scene::set(5).await, Pages::serve());
    let mut worker = scene.worker(&["--grace", "1"]);
    scene.submit(&pages.url("/stall"));
    eventually("the worker visits the page", || (pages.stalled() == 1).then_some(()));
    worker.terminate();
    assert_eq!(worker.wait_for_end().code(), Some(0));
    eventually("its browser ends", || (worker.browsers() == 0).then_some(()));
    assert_eq!(fs::read_dir(scene.profiles.path()).unwrap().count(), 0, "no profile is left behind");
    // Visible now, and not only when the 120 seconds of its visibility timeout are over.
    assert_eq!(scene.millpond.counts(&scene.queue_url).await, [1, 0, 0]);
}

#[tokio::test]
async fn submit_says_where_the_picture_will_be() {
    let scene = Scene::set(5).await;
    let picture = scene.submit("http://example.com/");
    let key = picture.strip_prefix("http://pictures.s3-website-us-east-1.amazonaws.com/").expect(&picture);
    assert_eq!(key.len(), 36);

    let output = scene.url2png("submit").args(["http://example.com/", "--website-url", "http://my.site/"]).output();
    let picture = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(picture.starts_with("http://my.site/") && !picture.contains("site//"), "{picture}");
    assert_eq!(scene.millpond.counts(&scene.queue_url).await, [2, 0, 0]);
}

#[tokio::test]
async fn what_cannot_work_is_said_in_a_sentence() {
    let scene = Scene::set(5).await;
    let output = scene.url2png("submit").args(["http://example.com/", "--queue", "nowhere"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.starts_with("url2png: cannot find the queue nowhere: "), "{stderr}");

    let output = scene.url2png("submit").arg("file:///etc/passwd").output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("only http and https"));
    assert_eq!(scene.millpond.counts(&scene.queue_url).await, [0, 0, 0]);
}

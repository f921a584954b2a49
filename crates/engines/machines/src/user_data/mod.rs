//! User data: what cloud-init would do with it, as a list of tasks for the instance's first process.
//!
//! Invariants:
//! - Reading is pure and never fails: what is not understood becomes a sentence on the instance's console.
//! - The order is cloud-init's: boothooks and `bootcmd`, files, users, packages, then scripts by their names
//!   (`runcmd` is one of them and comes last).

mod cloud_config;
mod mime;

use std::collections::VecDeque;

use crate::boot::Task;

/// Where scripts are put, as cloud-init does.
const SCRIPTS: &str = "/var/lib/cloud/instance/scripts";

/// Tasks, by the stage they belong to.
#[derive(Default)]
struct Stages {
    /// At each boot, before anything else.
    each_boot: Vec<Task>,
    files: Vec<Task>,
    users: Vec<Task>,
    packages: Vec<Task>,
    scripts: Vec<Task>,
    runcmd: Vec<Task>,
    /// Scripts named so far.
    parts: usize,
    /// Below which scripts and other files of ours are put: nothing, or the home when unprivileged.
    base: String,
}

/// What is to be done for `user_data` at a boot, the first or a later one. `base` stands before the paths of scripts:
/// an unprivileged instance has no root of its own.
pub(crate) fn tasks(user_data: &[u8], first_boot: bool, base: &str) -> VecDeque<Task> {
    let mut stages = Stages { base: base.to_owned(), ..Stages::default() };
    if user_data.is_empty() {
        return VecDeque::new();
    }
    stages.read(user_data, None);
    let mut tasks = VecDeque::from(stages.each_boot);
    if !first_boot {
        return tasks;
    }
    tasks.push_back(write(&format!("{base}/var/lib/cloud/instance/user-data.txt"), user_data.to_vec(), 0o600));
    for stage in [stages.files, stages.users, stages.packages, stages.scripts, stages.runcmd] {
        tasks.extend(stage);
    }
    tasks
}

impl Stages {
    /// One part, by its MIME type if that says something, else by its first line.
    fn read(&mut self, content: &[u8], kind: Option<&str>) {
        let first = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let first = String::from_utf8_lossy(first);
        let first = first.trim_end();
        match kind {
            Some("text/x-shellscript") => self.script(content),
            Some("text/cloud-config") => self.cloud_config(content),
            Some("text/cloud-boothook") => self.boothook(content),
            Some(kind) if kind.starts_with("multipart/") => self.archive(content),
            _ if first.starts_with("#!") => self.script(content),
            _ if first == "#cloud-config" || first.starts_with("#cloud-config ") => self.cloud_config(content),
            _ if first.starts_with("#cloud-boothook") => self.boothook(content),
            _ if mime::is_archive(content) => self.archive(content),
            _ => {
                self.say(&format!("not understood, its first line is {:?}", first.chars().take(60).collect::<String>()))
            }
        }
    }

    fn say(&mut self, sentence: &str) {
        self.files.push(Task::Say(format!("user data: {sentence}")));
    }

    fn script(&mut self, content: &[u8]) {
        self.parts += 1;
        let path = format!("{}{SCRIPTS}/part-{:03}", self.base, self.parts);
        self.scripts.push(write(&path, content.to_vec(), 0o700));
        self.scripts.push(Task::Run { argv: vec![path], counts: true });
    }

    fn boothook(&mut self, content: &[u8]) {
        self.parts += 1;
        let path = format!("{}/var/lib/cloud/instance/boothooks/part-{:03}", self.base, self.parts);
        // The hook's own first line stands after the marker's.
        let hook = content.strip_prefix(b"#cloud-boothook").map_or(content, |rest| rest.trim_ascii_start());
        self.each_boot.push(write(&path, hook.to_vec(), 0o700));
        self.each_boot.push(Task::Run { argv: vec![path], counts: false });
    }

    fn archive(&mut self, content: &[u8]) {
        match mime::parts(content) {
            Ok(parts) => parts.iter().for_each(|part| self.read(&part.content, part.kind.as_deref())),
            Err(why) => self.say(why),
        }
    }

    fn cloud_config(&mut self, content: &[u8]) {
        if let Err(why) = cloud_config::read(self, content) {
            self.say(&format!("#cloud-config: {why}"));
        }
    }
}

fn write(path: &str, content: Vec<u8>, mode: u32) -> Task {
    Task::Write { path: path.to_owned(), content, mode, owner: String::new(), append: false }
}

fn shell(script: &str, arguments: &[String]) -> Task {
    let mut argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned(), "sh".to_owned()];
    argv.extend_from_slice(arguments);
    Task::Run { argv, counts: false }
}

/// Installs packages with whatever package manager the image has.
pub(crate) fn install(packages: &[String]) -> Task {
    match shell(cloud_config::INSTALL, packages) {
        Task::Run { argv, .. } => Task::Run { argv, counts: true },
        other => other,
    }
}

#[cfg(test)]
mod tests;

//! A job: the page to take a picture of, and the key of the object that the picture becomes.
//!
//! Invariants: a `Job` that exists is fit to be carried out. Its URL is of the web (a worker must not be talked into
//! showing `file:///etc/passwd`), and its key is one that [`Job::new`] could have drawn (whoever may write to the queue
//! may not overwrite the website's own pages). Carrying a job out twice is harmless: the same key gets the same picture.

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use url::Url;

/// What travels on the queue, as JSON: `{"url":"https://example.com/","key":"0f….png"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    url: Url,
    key: String,
}

impl Job {
    /// A job for `url` under a fresh key. The key is random, so that pictures can't be guessed from their pages.
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let url = Url::parse(url).with_context(|| format!("cannot read {url:?} as a URL"))?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).context("cannot draw a random key")?;
        Self { url, key: format!("{:032x}.png", u128::from_be_bytes(random)) }.checked()
    }

    /// Reads a message's body, which may be anything.
    pub(crate) fn from_message(body: &str) -> anyhow::Result<Self> {
        serde_json::from_str::<Self>(body).context("the message is no job")?.checked()
    }

    /// The body of the message that asks for this job.
    pub(crate) fn to_message(&self) -> String {
        serde_json::json!(self).to_string()
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    fn checked(self) -> anyhow::Result<Self> {
        ensure!(
            matches!(self.url.scheme(), "http" | "https"),
            "cannot take a picture of {}: only http and https URLs are pages",
            self.url
        );
        let name = self.key.strip_suffix(".png").unwrap_or_default();
        ensure!(
            name.len() == 32 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            "the key {:?} is none that `url2png submit` draws",
            self.key
        );
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_survives_the_queue() {
        let job = Job::new("https://example.com/a?b=c").unwrap();
        assert_eq!(Job::from_message(&job.to_message()).unwrap(), job);
    }

    #[test]
    fn two_jobs_for_one_page_have_keys_of_their_own() {
        let key = || Job::new("http://example.com/").unwrap().key;
        assert_ne!(key(), key());
    }

    #[test]
    fn only_pages_of_the_web_become_jobs() {
        for url in ["file:///etc/passwd", "chrome://version", "data:text/html,x", "javascript:1", "example.com", ""] {
            assert!(Job::new(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_message_that_no_submitter_wrote_is_refused() {
        let key = "0123456789abcdef0123456789abcdef.png";
        assert!(Job::from_message(&format!(r#"{{"url":"http://a/","key":"{key}"}}"#)).is_ok());
        for body in [
            "",
            "hello",
            "{}",
            r#"{"url":"http://a/"}"#,
            r#"{"url":"http://a/","key":"index.html"}"#,
            r#"{"url":"http://a/","key":"../0123456789abcdef0123456789ab.png"}"#,
            &format!(r#"{{"url":"file:///etc/passwd","key":"{key}"}}"#),
        ] {
            assert!(Job::from_message(body).is_err(), "{body}");
        }
    }
}

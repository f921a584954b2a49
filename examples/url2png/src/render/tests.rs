//! Renders pages on loopback with the Chromium of this machine.

use std::time::Instant;

use super::*;

#[path = "../../tests/support/pages.rs"]
mod pages;
#[path = "../../tests/support/picture.rs"]
mod picture;

use pages::Pages;
use picture::Picture;

/// A renderer with a directory of its own for profiles.
struct Studio {
    renderer: Renderer,
    profiles: TempDir,
}

impl Studio {
    fn open(timeout: Duration) -> Self {
        let profiles = tempfile::tempdir().unwrap();
        let renderer = Renderer::new("chromium".into(), profiles.path().into(), timeout).unwrap();
        Self { renderer, profiles }
    }

    async fn picture(&self, url: &str) -> Picture {
        let png = self.renderer.render(&Url::parse(url).unwrap()).await;
        Picture::decode(&png.unwrap_or_else(|error| panic!("{error:#}")))
    }

    async fn refusal(&self, url: &str) -> String {
        format!("{:#}", self.renderer.render(&Url::parse(url).unwrap()).await.expect_err("no picture"))
    }

    fn browsers(&self) -> usize {
        let profiles = self.profiles.path().to_str().unwrap();
        let processes =
            fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
        processes.filter(|line| String::from_utf8_lossy(line).contains(profiles)).count()
    }

    fn assert_clean(&self) {
        assert_eq!(fs::read_dir(self.profiles.path()).unwrap().count(), 0, "a profile was left behind");
        // The children of a Chromium that was killed need a moment to notice.
        let start = Instant::now();
        while self.browsers() > 0 {
            assert!(start.elapsed() < Duration::from_secs(5), "a browser was left behind");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

const ENOUGH: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_picture_shows_the_page_and_leaves_nothing_behind() {
    let (pages, studio) = (Pages::serve(), Studio::open(ENOUGH));
    studio.picture(&pages.url("/color/3366cc")).await.assert_shows("3366cc");
    studio.assert_clean();
}

#[tokio::test]
async fn an_answer_of_404_is_no_page() {
    let (pages, studio) = (Pages::serve(), Studio::open(ENOUGH));
    let refusal = studio.refusal(&pages.url("/missing")).await;
    assert!(refusal.contains("answered 404"), "{refusal}");
    studio.assert_clean();
}

#[tokio::test]
async fn a_server_that_does_not_listen_has_no_page() {
    let refusal = Studio::open(ENOUGH).refusal(&pages::nobody_listens()).await;
    assert!(refusal.contains("net::ERR_CONNECTION_REFUSED"), "{refusal}");
}

#[tokio::test]
async fn a_redirect_by_script_shows_where_it_leads() {
    let (pages, studio) = (Pages::serve(), Studio::open(ENOUGH));
    studio.picture(&pages.url("/jump/green")).await.assert_shows("00aa00");
}

#[tokio::test]
async fn a_redirect_by_script_into_nothing_is_no_page() {
    let (pages, studio) = (Pages::serve(), Studio::open(ENOUGH));
    let refusal = studio.refusal(&pages.url("/jump/missing")).await;
    assert!(refusal.contains("answered 404"), "{refusal}");
    let refusal = studio.refusal(&pages.url("/jump/refused")).await;
    assert!(refusal.contains("dead end"), "{refusal}");
}

#[tokio::test]
async fn a_dialog_does_not_stop_a_page() {
    let (pages, studio) = (Pages::serve(), Studio::open(ENOUGH));
    studio.picture(&pages.url("/alert")).await.assert_shows("cc00cc");
}

#[tokio::test]
async fn a_page_that_never_comes_is_given_up_and_its_browser_killed() {
    let (pages, studio) = (Pages::serve(), Studio::open(Duration::from_secs(5)));
    let refusal = studio.refusal(&pages.url("/stall")).await;
    assert!(refusal.contains("not ready after 5 s"), "{refusal}");
    assert_eq!(pages.stalled(), 1, "the page was asked for");
    studio.assert_clean();
}

#[tokio::test]
async fn a_browser_that_is_not_there_is_an_error_that_names_it() {
    let profiles = tempfile::tempdir().unwrap();
    let renderer = Renderer::new("no-such-browser".into(), profiles.path().into(), ENOUGH).unwrap();
    let error = renderer.render(&Url::parse("http://127.0.0.1/").unwrap()).await.expect_err("no picture");
    assert!(format!("{error:#}").contains("no-such-browser"), "{error:#}");
}

#[test]
fn a_start_removes_the_profiles_of_the_dead_and_no_others() {
    let profiles = tempfile::tempdir().unwrap();
    let alive = format!("url2png.{}.abc", std::process::id());
    // Beyond the largest process id that Linux gives.
    for name in ["url2png.4999999.abc", &alive, "url2png.readme", "other"] {
        fs::create_dir_all(profiles.path().join(name).join("Default")).unwrap();
    }
    Renderer::new("chromium".into(), profiles.path().into(), ENOUGH).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(profiles.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["other".to_owned(), alive, "url2png.readme".to_owned()]);
}
